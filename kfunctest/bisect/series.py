# SPDX-License-Identifier: GPL-2.0-only
"""scripts/series: every patch of a series is built and judged in order, so that a later bisection can stop at any."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from kfunctest import cache, files, shell
from kfunctest.bisect import options as shared
from kfunctest.bisect import trials
from kfunctest.bisect.builder import of_recipe
from kfunctest.bisect.trials import PRESENCE, ImageTrials, Selection
from kfunctest.bisect.types import Made, Purpose, Trial
from kfunctest.errors import InfraError, SpecError
from kfunctest.kernels import patches, source, toolchain, user_paths
from kfunctest.kernels.build import Recipe
from kfunctest.kernels.progress import Progress
from kfunctest.kernels.source import Source
from kfunctest.reports.sanitize import one_line
from kfunctest.shell import say
from kfunctest.trial import digest
from kfunctest.trial.suite import CHECKOUT, Suite, pytest_suite
from kfunctest.trial.work import Work, work

JSON: Final = "series.json"
MARKDOWN: Final = "series.md"


class Standing(StrEnum):
    """What becomes of a kernel with the series up to one patch."""

    GOOD = "good"
    #: A test fails that passed before this patch.
    BAD = "bad"
    #: What fails failed before this patch already.
    NO_WORSE = "no worse"
    #: It builds, and has none of the kfuncs yet.
    NO_KFUNCS = "builds"
    NOT_APPLIED = "does not apply"
    NOT_BUILT = "does not build"
    NOT_BOOTED = "does not boot"

    @property
    def fine(self) -> bool:
        """Whether a bisection could stop here and learn something."""
        return self in (Standing.GOOD, Standing.NO_WORSE, Standing.NO_KFUNCS)


@dataclass(frozen=True, slots=True)
class Row:
    """One patch; the first row is the base. ``tests`` are those that became bad here."""

    number: int
    subject: str
    id: str
    standing: Standing
    why: str = ""
    tests: tuple[str, ...] = ()
    seconds: float = 0.0
    folder: str = ""


@dataclass
class Series:
    """Judges ``base`` and then each patch on top of those before it."""

    base: Source
    flavours: tuple[str, ...]
    contract: str | None
    tests: Selection
    trials: ImageTrials
    progress: Progress

    def rows(self, series: Sequence[patches.Patch]) -> Iterator[Row]:
        """A row for the base and for each patch, in order, as soon as it is known. Raises InfraError."""
        before: Trial | None = None
        known: dict[str, Trial] = {}
        for number in range(len(series) + 1):
            start = time.monotonic()
            patch = series[number - 1] if number else None
            row, trial = self._row(number, patch, tuple(series[:number]), before, known)
            before = trial or before
            found = Row(*row[:5], tests=row[5], seconds=time.monotonic() - start, folder=trial.folder if trial else "")
            yield found
            if found.standing is Standing.NOT_APPLIED:
                break  # none of the others stands on what it was written for

    def _row(
        self,
        number: int,
        patch: patches.Patch | None,
        applied: tuple[patches.Patch, ...],
        before: Trial | None,
        known: dict[str, Trial],
    ) -> tuple[tuple[int, str, str, Standing, str, tuple[str, ...]], Trial | None]:
        subject, id_ = (patch.subject, patch.id) if patch else (self.base.words, "")
        try:
            patches.apply(self.base.store, self.base.tree, applied)
        except SpecError as error:
            return (number, subject, id_, Standing.NOT_APPLIED, one_line(error.problem), ()), None
        try:
            made = of_recipe(Recipe(self.base, applied, self.flavours, self.contract), self.progress)
        except SpecError as error:
            return (number, subject, id_, Standing.NOT_BUILT, one_line(error.problem), ()), None
        trial = known.get(made.image) or self._trial(made, f"{number:04d}-{id_ or 'base'}")
        known[made.image] = trial
        standing, why, tests = against(trial, before)
        return (number, subject, id_, standing, why, tests), trial

    def _trial(self, made: Made, name: str) -> Trial:
        trial = self.trials.trial(made, name, Purpose.WHOLE, self.tests)
        if lost := trials.unclear_in(trial, trial.outcomes):
            trial = self.trials.trial(made, name, Purpose.WHOLE, self.tests)
            if lost := trials.unclear_in(trial, trial.outcomes):
                raise InfraError(f"{lost[0]} could not be judged twice: {trial.messages.get(lost[0], '')}")
        return trial


def against(trial: Trial, before: Trial | None) -> tuple[Standing, str, tuple[str, ...]]:
    """What a trial comes to after that of the patch before."""
    if trial.problem:
        return Standing.NOT_BOOTED, trial.problem, ()
    bad = trials.bad_in(trial, trial.outcomes)
    had = before is not None and PRESENCE in trials.good_in(before, before.outcomes)
    if bad == [PRESENCE]:
        return (Standing.BAD, "it has none of the kfuncs any more", (PRESENCE,)) if had else _without()
    known = set(trials.bad_in(before, before.outcomes)) if before else set()
    new = tuple(test for test in bad if test not in known)
    unknown = trials.untested([trial])
    if new:
        return Standing.BAD, trial.messages.get(new[0], trial.outcomes[new[0]]) + unknown, new
    if bad:
        return Standing.NO_WORSE, f"{len(bad)} tests fail as before this patch{unknown}", ()
    return Standing.GOOD, f"{len(trials.good_in(trial, trial.outcomes))} tests pass{unknown}", ()


def _without() -> tuple[Standing, str, tuple[str, ...]]:
    return Standing.NO_KFUNCS, "it has none of the kfuncs, and was not booted", ()


def text(row: Row) -> str:
    """A row in a few lines."""
    head = f"patch {row.number}: {row.subject}" if row.number else f"base: {row.subject}"
    return "\n".join(
        [head, f"  {row.standing}: {row.why} [{row.seconds:.0f} s]", *(f"    {test}" for test in row.tests[:5])]
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(shared.Options):
    """The command line."""

    base: str
    tree: str | None
    results: str | None
    fresh: bool


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit status."""
    ours, words = shell.split(argv)
    options = shell.parsed(_parser(), ours, Options)
    return shell.run("series", lambda: _run(options, words))


def _parser() -> argparse.ArgumentParser:
    parser = shell.Parser(
        prog="scripts/series",
        description="build and judge every patch of a series in order, each on top of those before it",
        epilog="Exit status: 0: each patch builds, and breaks nothing; 1: one does not; 131: the machine, a tool or "
        "the network stopped it; 132: what was asked for cannot be",
    )
    parser.add_argument("--base", required=True, metavar="REV", help=f"a revision of --tree; or {source.FORMS}")
    parser.add_argument("--tree", metavar="DIR", help="the kernel's git tree; it is only read")
    shared.add_patch(parser, "the series to test")
    shared.add_tests(parser)
    parser.add_argument("--results", metavar="DIR", help="where all is kept (default: results/ below the checkout)")
    parser.add_argument("--fresh", action="store_true", help="start over, even if the same series was left unfinished")
    return parser


def _run(options: Options, words: Sequence[str]) -> int:
    series = options.patches
    if not series:
        raise SpecError("there is no series to judge", remedy="name a mailbox or a folder of patches with --patch")
    tests = shared.tests(options, words)
    progress = Progress()
    named = f"{options.tree}@{options.base}" if options.tree else options.base
    base = source.resolve(named, base=shell.base(), progress=progress)
    patches.compare_base(base, series)
    results = user_paths.written(options.results, shell.base()) if options.results else CHECKOUT / "results"
    suite = pytest_suite(60.0 * options.minutes)
    asked_for = [base.tree, *(patch.digest for patch in series), "", *tests.tests, "", *tests.words]
    asked_for += ["", *options.flavour, "", options.contract or "", *toolchain.installed().words]
    key = cache.digest(digest.of_suite(), digest.of_machine(), *asked_for)
    with work(results, "series", key, fresh=options.fresh) as place:
        return judge(base, series, tests, options.flavour, options.contract, suite, place)


def judge(
    base: Source,
    series: Sequence[patches.Patch],
    tests: Selection,
    flavours: tuple[str, ...],
    contract: str | None,
    suite: Suite,
    place: Work,
) -> int:
    """Judge the series, with its table written patch by patch; returns the exit status.

    Raises KfunctestError and OSError.
    """
    trials = ImageTrials(suite, place.folder / "runs", place.log)
    if place.resumed:
        taken = sum("trial" in entry for entry in place.log.entries)
        say(f"series: resumed, {taken} runs of the suite are taken over (--fresh starts over)")
    rows: list[Row] = []
    steps = shell.Steps(len(series) + 1)
    for row in Series(base, flavours, contract, tests, trials, Progress()).rows(series):
        rows.append(row)
        steps.done(text(row))
        write(place.folder, rows, len(series) + 1 - len(rows))
    bad = [row for row in rows[1:] if not row.standing.fine]
    told = f"{len(bad)} of {len(series)} patches are bad" if bad else "every patch builds, and breaks nothing"
    say(f"series: {told}")
    say(f"report: {place.folder / MARKDOWN}")
    return shared.BAD if bad else shared.GOOD


def write(folder: Path, rows: Sequence[Row], left: int) -> None:
    """Write the table for programs and for people; ``left`` patches are not in it. Raises OSError."""
    files.write(folder / JSON, json.dumps({"rows": [asdict(row) for row in rows], "left": left}, indent=1) + "\n")
    files.write(folder / MARKDOWN, markdown(rows, left))


def markdown(rows: Sequence[Row], left: int) -> str:
    """The table for people."""
    lines = ["# A series, patch by patch", "", "| | patch | verdict | why | time |", "|---|---|---|---|---|"]
    for row in rows:
        cells = (str(row.number) if row.number else "base", _cell(row.subject), row.standing, _cell(row.why))
        lines.append(f"| {' | '.join(cells)} | {row.seconds:.0f} s |")
    lines += ["", f"{left} patches behind the last one were not tried."] if left else []
    for row in rows:
        lines += (
            ["", f"What patch {row.number} breaks:", "", *(f"* `{test}`" for test in row.tests)] if row.tests else []
        )
    return "\n".join([*lines, ""])


def _cell(words: str) -> str:
    return one_line(words).replace("|", "\\|")
