# SPDX-License-Identifier: GPL-2.0-only
"""The figures as a report in Markdown, which a terminal shows as well."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from kfunctest.bench.kfunc import samples as names
from kfunctest.bench.kfunc.samples import Figures, Run, Runs, clock_of
from kfunctest.bench.kfunc.stats import CONFIDENCE, Spread, ratios, spread
from kfunctest.bench.kfunc.time_source import TIME, Clock

#: What the patch and its first posting say, in seconds for a million passes: real, user, system. Microseconds a pass.
CLAIMED: Final = {
    "the patch: control": (38.318, 25.131, 13.070),
    "its first posting: control, not decoded": (13.062, 0.147, 12.876),
    "the patch: kfuncs": (2.789, 0.187, 2.512),
}
#: Each side in words.
WORDS: Final = {
    names.CONTROL: "control: memory.stat by fgets and sscanf",
    names.BY_HAND: "memory.stat by one read, decoded by hand",
    names.RAW: "memory.stat by one read, not decoded",
    names.KFUNCS: "kfuncs, all {items} items",
    names.PATCHS: "kfuncs, {patchs_items} items as in the patch",
    names.PYTHON_FILE: "Python: memory.stat",
    names.PYTHON_KFUNCS: "Python: kfuncs, all {items} items",
}
#: What each side is a ratio to.
AGAINST: Final = dict.fromkeys((names.BY_HAND, names.RAW, names.KFUNCS, names.PATCHS), names.CONTROL) | {
    names.PYTHON_KFUNCS: names.PYTHON_FILE
}


def report(figures: Figures) -> list[str]:
    """The lines of the report; of what was not measured, nothing."""
    about = figures.about
    lines = [
        f"kernel {about.get('kernel')} under {about.get('accelerator')} ({about.get('why')}), {about.get('cpus')} CPUs "
        f"on {about.get('machine')}, measured by {about.get('clock')}; read: {about.get('memcg')}; the reader is in "
        f"{about.get('reader')}",
        "",
    ]
    sections = [
        _sides(figures),
        _trees(figures),
        _parts(figures.parts, clock_of(figures)),
        _values(figures),
        _limits(figures),
    ]
    for section in filter(None, sections):
        lines += [*section, ""]
    return lines[:-1]


def _sides(figures: Figures) -> list[str]:
    if not figures.sides:
        return ["No side of the comparison was measured to the end of a round."]
    rows = []
    clock = clock_of(figures)
    for name, runs in figures.sides.items():
        words = WORDS[name].format(**figures.about)
        control = figures.sides.get(AGAINST.get(name, ""), [])
        rows.append([words, *_times(runs, clock), *_ratio(runs, control)])
    for words, (real, user, system) in CLAIMED.items():
        part = real / CLAIMED["the patch: control"][0]
        words = f"{words}, microseconds" if clock is not TIME else words
        rows.append([f"*{words}*", f"{real:.2f}", f"{user:.2f}", f"{system:.2f}", f"{part:.3f}", "one run"])
    head = [f"{clock.unit} a read", "real", "user", "system", "of its control", f"{CONFIDENCE:.0%} sure"]
    return [*table(head, rows), "", *_claims(figures)]


def _times(runs: Sequence[Run], clock: Clock) -> list[str]:
    """Medians of a pass, in the clock's unit."""
    kinds = ([run.real for run in runs], [run.user for run in runs], [run.system for run in runs])
    each = [spread([time / run.passes for time, run in zip(kind, runs, strict=True)]).median for kind in kinds]
    return [f"{clock.per_second * seconds:.2f}" for seconds in each]


def _ratio(runs: Sequence[Run], control: Sequence[Run]) -> list[str]:
    if not control:
        return ["1", ""]
    found = spread(ratios(_each(runs), _each(control)))
    return [f"{found.median:.3f}", _interval(found)]


def _interval(found: Spread) -> str:
    if found.interval is None:
        return f"{found.count} rounds are too few ({found.least:.3f} to {found.most:.3f})"
    return f"{found.interval[0]:.3f} to {found.interval[1]:.3f}"


def _each(runs: Iterable[Run]) -> list[float]:
    return [run.each for run in runs]


def _claims(figures: Figures) -> list[str]:
    control = figures.sides.get(names.CONTROL)
    measured = [name for name in (names.KFUNCS, names.PATCHS) if name in figures.sides]
    if not control or not measured:
        return []
    lines = ["The patch claims 93 % less real, 80 % less system and over 99 % less user time; here it is:", ""]
    for name in measured:
        runs = figures.sides[name]
        parts = {
            "real": spread(ratios(_each(runs), _each(control))).median,
            # The kernel may know these by its ticks only, of which a single run has few.
            "system": _total(runs, lambda run: run.system, control),
            "user": _total(runs, lambda run: run.user, control),
        }
        saved = [f"{100 * (1 - part):.1f} % less {kind}" for kind, part in parts.items() if part is not None]
        lines.append(f"* {WORDS[name].format(**figures.about)}: {', '.join(saved)}")
    return lines


def _total(runs: Sequence[Run], time: Callable[[Run], float], control: Sequence[Run]) -> float | None:
    """What all passes took together, a pass, over the same of the control; None where that took nothing."""
    here, there = (sum(map(time, side)) / sum(run.passes for run in side) for side in (runs, control))
    return here / there if there else None


def _trees(figures: Figures) -> list[str]:
    rows = []
    clock = clock_of(figures)
    for size, runs in sorted(figures.trees.items()):
        if names.FILES in runs and names.ITERATOR in runs:
            files, iterator = runs[names.FILES], runs[names.ITERATOR]
            each = [clock.per_second * spread(_each(side)).median for side in (files, iterator)]
            per_memcg = [f"{time / size:.2f}" for time in each]
            rows.append([str(size), *(f"{time:.0f}" for time in each), *per_memcg, *_ratio(iterator, files)])
    if not rows:
        return []
    head = [f"memcgs in the tree; {clock.unit}", "a file each", "one iterator", "a memcg: file", "iterator", "ratio"]
    return table([*head, f"{CONFIDENCE:.0%} sure"], rows)


def _parts(parts: Runs, clock: Clock) -> list[str]:
    steps = (names.NOTHING, names.GET, names.FLUSH, names.EVERYTHING)
    if any(step not in parts for step in steps):
        return []
    program = [spread([(run.program or 0) / run.passes for run in parts[step]]).median for step in steps]
    whole = spread(_each(parts[names.EVERYTHING])).median
    shares = {
        "the iterator and its three system calls": whole - program[3],
        "entering the program": program[0],
        "get and put": program[1] - program[0],
        "flush, with nothing to flush": program[2] - program[1],
        "reading all items": program[3] - program[2],
    }
    rows = [[what, f"{clock.per_second * time:.2f}", f"{100 * time / whole:.0f} %"] for what, time in shares.items()]
    rows.append(["a whole read, with the kernel's BPF statistics on", f"{clock.per_second * whole:.2f}", "100 %"])
    return table(["where it goes (bpf_stats)", clock.unit, "share"], rows)


def _values(figures: Figures) -> list[str]:
    if figures.wrong:
        shown = [f"* {line}" for line in figures.wrong[:20]]
        more = len(figures.wrong) - len(shown)
        return ["**The two sides do not read the same:**", "", *shown, *([f"* and {more} more"] if more else [])]
    return [f"The same values on both sides: {'; '.join(figures.equal)}."] if figures.equal else []


def _limits(figures: Figures) -> list[str]:
    lines = [
        "The patch's figures are from another machine, kernel and configuration, and from one run each; which items it "
        "read was not published."
    ]
    if figures.about.get("accelerator") == "tcg":
        lines += [
            "**Under TCG nothing of the patch's claim can be concluded**: times mean nothing where every instruction "
            "is translated, and a count of instructions knows neither caches nor what an instruction costs. What "
            "holds here: both sides read the same values, how cost grows with the number of memcgs, and a ratio "
            "against the same ratio of another kernel, measured alike (--gate)."
        ]
    if not figures.whole:
        lines.append("Not all was measured that was asked for.")
    return lines


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table, numbers to the right."""
    widths = [max(len(row[at]) for row in (head, *rows)) for at in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        first, *rest = (
            cell.ljust(width) if not at else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return f"| {' | '.join([first, *rest])} |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return [line(head), line(rule), *(line(row) for row in rows)]
