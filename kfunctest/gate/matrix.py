# SPDX-License-Identifier: GPL-2.0-only
"""What came of each kernel, put together: rows as data, from what the runs left."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from kfunctest.results import Outcome, Result, Run, Untested
from kfunctest.trial.reading import SuiteRun, by_test

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


def row(kernel: str, ran: SuiteRun, folder: str = "") -> Row:
    """What a run came to: judged only where its results answer for the kernel."""
    return Row(kernel, ran.run, problem=ran.problem, folder=folder)


def counts(found: Mapping[str, Result]) -> dict[Outcome, int]:
    """How many results of each outcome, in the order of :class:`Outcome`, only those that there are."""
    outcomes = [result.outcome for result in found.values()]
    return {outcome: outcomes.count(outcome) for outcome in Outcome if outcome in outcomes}
