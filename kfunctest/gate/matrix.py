# SPDX-License-Identifier: GPL-2.0-only
"""What came of each kernel, put together: rows as data, from what the runs left."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from kfunctest import results
from kfunctest.reports.text import one_line
from kfunctest.results import Outcome, Result, Run, Untested

#: Of two results of one test the one further to the left is kept: what speaks against a kernel is never lost.
_WORST = (
    Outcome.CRASHED,
    Outcome.HUNG,
    Outcome.FAILED,
    Outcome.XPASSED,
    Outcome.INFRA,
    Outcome.XFAILED,
    Outcome.PASSED,
    Outcome.SKIPPED,
)


#: Words by which pytest leaves tests out.
_SELECTS: Final = re.compile(r"-[km]|--(deselect|ignore|lf|last-failed|sw|stepwise)")


@dataclass(frozen=True, slots=True)
class Row:
    """One kernel. Judged, or with a ``problem``: why it was not, in one line; ``run`` is then as far as it came."""

    kernel: str
    run: Run | None = None
    problem: str = ""
    #: What speaks against the kernel as a whole, in one line: it has none of the kfuncs.
    bad: str = ""
    #: It has none of the kfuncs, and kernels.toml says that it has none.
    absent: bool = False
    #: Where its results, reports and consoles are, from the gate's folder.
    folder: str = ""
    #: What repeated runs of tests that ended badly found, in order; a run that came to nothing is in ``lost``.
    repeats: tuple[Run, ...] = ()
    #: Why repetitions have no result.
    lost: tuple[str, ...] = ()

    @property
    def judged(self) -> bool:
        """Whether all that was planned on this kernel has an outcome."""
        return not self.problem

    @property
    def results(self) -> dict[str, Result]:
        """The first run's results by test."""
        return by_test(self.run.results) if self.run else {}

    @property
    def untested(self) -> tuple[Untested, ...]:
        """What the kernel has and no test covers."""
        return tuple(one for kernel in self.run.kernels for one in kernel.untested) if self.run else ()

    def repeated(self, test: str) -> tuple[Outcome, ...]:
        """The outcomes of the repetitions of this test, in order."""
        return tuple(found[test].outcome for run in self.repeats if test in (found := by_test(run.results)))


@dataclass(frozen=True, slots=True)
class Matrix:
    """Every kernel that was to be judged. ``whole``: all those of kernels.toml, not some that were named."""

    started: str
    command: str
    rows: tuple[Row, ...]
    whole: bool = True
    ended: str = ""
    project: str = ""
    #: What pytest was told beyond the kernel.
    words: tuple[str, ...] = field(default=())

    @property
    def complete(self) -> bool:
        """Whether all tests ran on all kernels: only then is one that applied to none of them remarkable."""
        return self.whole and self.all_tests

    @property
    def all_tests(self) -> bool:
        """Whether pytest was told to leave none out."""
        return not any(_SELECTS.match(word) for word in self.words)

    @property
    def tests(self) -> list[str]:
        """All tests, in the order in which they ran."""
        return list(dict.fromkeys(test for row in self.rows for test in row.results))


def by_test(found: Iterable[Result]) -> dict[str, Result]:
    """Results by test, the worst where there are several."""
    kept: dict[str, Result] = {}
    for result in found:
        there = kept.get(result.test)
        if there is None or _WORST.index(result.outcome) < _WORST.index(there.outcome):
            kept[result.test] = result
    return kept


def row(kernel: str, file: Path | None, status: int, said: str = "", folder: str = "") -> Row:
    """What a run of pytest came to that ended with ``status`` and was to write ``file``; ``said`` is its last line.

    Only a whole file whose outcomes explain the status makes a judged row.
    """
    if file is None:
        return Row(kernel, problem=_ended(status, said, "left no results"), folder=folder)
    run, damage = results.read_partial(file)
    return Row(kernel, run, problem=_problem(kernel, run, damage, status, said), folder=folder)


def _problem(kernel: str, run: Run | None, damage: str, status: int, said: str) -> str:
    if run is None or damage:
        return _ended(status, said, damage)
    others = {result.kernel for result in run.results} - {kernel}
    if others or [judged.id for judged in run.kernels] != [kernel]:
        named = ", ".join(sorted(others | {judged.id for judged in run.kernels}))
        return f"the results are those of {named or 'no kernel'}"
    if run.status != status:
        return _ended(status, said, f"the results say status {run.status}")
    if run.stopped:
        return early(run)
    if run.unreached:
        return f"{len(run.unreached)} tests were never reached, the first {run.unreached[0][0]}"
    if not any(result.outcome.judged for result in run.results):
        return "no test was put to this kernel"
    return _unexplained(run, status, said)


def early(run: Run) -> str:
    """What is wrong with a run that was stopped."""
    return f"the run ended early: {run.stopped}"


def _unexplained(run: Run, status: int, said: str) -> str:
    """Why a whole run is no judgement all the same: its status says other things than its outcomes."""
    bad = any(result.outcome.bad for result in run.results) or bool(unexpected_between(run))
    infra = [result for result in run.results if result.outcome is Outcome.INFRA]
    if status == 1 and not bad:
        return "pytest ended with status 1, and no result says why"
    if status == 0 and bad:
        return "pytest ended with status 0, and results are bad"
    if status not in (0, 1) and not (status == 3 and (infra or run.unaccepted)):
        return _ended(status, said, "")
    return ""


def unexpected_between(run: Run) -> list[str]:
    """The kernel's complaints for which no test was running, one line each."""
    return [
        f"{splat.kind} after {between.after or 'boot'}, before {between.before or 'the end'}: {one_line(splat.line)}"
        for between in run.between
        for splat in between.splats
        if not splat.expected
    ]


def _ended(status: int, said: str, what: str) -> str:
    how = f"pytest was ended by signal {-status}" if status < 0 else f"pytest ended with status {status}"
    return "; ".join(part for part in (what, how, said) if part)


def counts(found: Mapping[str, Result]) -> dict[Outcome, int]:
    """How many results of each outcome, in the order of :class:`Outcome`, only those that there are."""
    outcomes = [result.outcome for result in found.values()]
    return {outcome: outcomes.count(outcome) for outcome in Outcome if outcome in outcomes}
