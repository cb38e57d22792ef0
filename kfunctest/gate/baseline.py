# SPDX-License-Identifier: GPL-2.0-only
"""What an earlier gate had found bad: the same again does not fail this one."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from kfunctest.gate.matrix import Matrix, Row
from kfunctest.reports.sanitize import one_line
from kfunctest.results import Outcome, Result
from kfunctest.trial.reading import unexpected_between

#: A failure that became a crash is a new one; a crash that became a failure is not.
_SEVERITY = {Outcome.FAILED: 1, Outcome.XPASSED: 1, Outcome.HUNG: 2, Outcome.CRASHED: 2}


@dataclass(frozen=True, slots=True)
class Baseline:
    """An earlier matrix by what it knew; empty without one, so that every failure is new."""

    rows: dict[str, Row] = field(default_factory=dict)

    def knows(self, kernel: str, result: Result) -> bool:
        """Whether this test ended on the kernel of this name as badly as now, or worse, with all its complaints."""
        before = self.rows[kernel].results.get(result.test) if kernel in self.rows else None
        if before is None or _SEVERITY.get(before.outcome, 0) < _SEVERITY[result.outcome]:
            return False
        return _complaints(result) <= _complaints(before)

    def knows_kernel(self, kernel: str, bad: str) -> bool:
        """Whether the same was said against the whole kernel."""
        return kernel in self.rows and self.rows[kernel].bad == bad

    def knows_splat(self, kernel: str, line: str) -> bool:
        """Whether the kernel said the same, but for numbers, between whichever tests."""
        run = self.rows[kernel].run if kernel in self.rows else None
        return run is not None and _gist_between(line) in map(_gist_between, unexpected_between(run))

    def gone(self, row: Row) -> list[str]:
        """Tests that judged the kernel then, and do not now though it was judged."""
        before = self.rows.get(row.kernel)
        if before is None or not row.judged:
            return []
        now = {test for test, result in row.results.items() if result.outcome is not Outcome.SKIPPED}
        return [test for test, result in before.results.items() if result.outcome.judged and test not in now]


def of(matrix: Matrix) -> Baseline:
    """What ``matrix`` knows."""
    return Baseline({row.kernel: row for row in matrix.rows})


def _complaints(result: Result) -> set[str]:
    """What the kernel complained of during a test that did not expect it."""
    return {_gist(splat.kind, splat.line) for splat in result.splats if not splat.expected}


def _gist_between(line: str) -> str:
    """The same of a complaint between tests, wherever it came."""
    kind, _, rest = line.partition(" ")
    return _gist(kind, rest.partition(": ")[2])


def _gist(kind: str, line: str) -> str:
    """A complaint without what differs from boot to boot: numbers and addresses."""
    return re.sub(r"\b(0x)?[0-9a-f]*\d[0-9a-f]*\b", "N", f"{kind} {one_line(line)}")
