# SPDX-License-Identifier: GPL-2.0-only
"""Has reading through the kfuncs become slower, measured against reading memory.stat on the same kernel?

The *ratio* is compared with an earlier record's: a slower machine slows both sides.
"""

from __future__ import annotations

from dataclasses import dataclass

from kfunctest.bench.kfunc.samples import CONTROL, KFUNCS, RAW, Figures, clock_of
from kfunctest.bench.kfunc.stats import change, ratios
from kfunctest.bench.kfunc.time_source import TIME
from kfunctest.errors import SpecError

#: What is looked at: the kfuncs against the control that decodes, and against the one that does not.
PAIRS = ((KFUNCS, CONTROL), (KFUNCS, RAW))
#: By how much a ratio to each control may grow, by the clock. Boots of one kernel differed, over 110 pairs of them, by
#: 0.1 % in instructions where the control does not decode; where it does by 3 %, which its own process brought in.
ALLOWED = {"time": {CONTROL: 1.10, RAW: 1.10}, "instructions": {CONTROL: 1.05, RAW: 1.005}}
#: The chance of a false alarm, over all pairs together.
CHANCE = 0.01
#: Rounds without which nothing is decided: of five against five, the most extreme order has a chance of 1 in 252.
ROUNDS = 5
#: What must be the same on both sides for ratios to be comparable.
SAME = ("accelerator", "clock", "cpus", "items", "memcg")
#: And this, unless instructions are counted.
SAME_FOR_TIME = ("machine",)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether it is slower, and a line for each pair."""

    slower: bool
    lines: tuple[str, ...]


def judge(before: Figures, now: Figures, allowed: float | None = None) -> Verdict:
    """Compare ``now`` with the baseline; ``allowed`` stands in for ALLOWED.

    Raises SpecError where the two cannot be compared.
    """
    _must_be_comparable(before, now)
    slower, lines = False, []
    for over, under in PAIRS:
        limit = allowed or ALLOWED[clock_of(now).name][under]
        old, new = _ratios(before, over, under), _ratios(now, over, under)
        for whose, series in (("the baseline", old), ("this run", new)):
            if len(series) < ROUNDS:
                raise SpecError(
                    f"{whose} has {len(series)} rounds of {over} and {under}, and a gate needs {ROUNDS}",
                    remedy="measure with --rounds 7",
                )
        found = change(old, new, limit)
        worse = found.times > limit and found.chance < CHANCE / len(PAIRS)
        slower = slower or worse
        lines.append(
            f"{'SLOWER' if worse else 'not slower'}: {over} against {under}: {found.times:.4f} times the baseline's "
            f"ratio (up to {limit:.3f} is allowed; the chance of as much by noise is {found.chance:.2g})"
        )
    return Verdict(slower, tuple(lines))


def _ratios(figures: Figures, over: str, under: str) -> list[float]:
    sides = figures.sides
    return ratios([run.each for run in sides.get(over, [])], [run.each for run in sides.get(under, [])])


def _must_be_comparable(before: Figures, now: Figures) -> None:
    timed = clock_of(now) is TIME
    for what in (*SAME, *(SAME_FOR_TIME if timed else ())):
        was, now_is = before.about.get(what), now.about.get(what)
        if was != now_is:
            raise SpecError(
                f"the baseline was measured with another {what}: {was}, now {now_is}",
                remedy="measure a baseline under the same conditions",
            )
