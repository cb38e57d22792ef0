# SPDX-License-Identifier: GPL-2.0-only
"""What an earlier gate had found bad: the same again does not fail this one."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from kfunctest.gate.matrix import Matrix, Row, unexpected_between
from kfunctest.results import Outcome, Result

#: A failure that became a crash is a new one; a crash that became a failure is not.
_SEVERITY = {Outcome.FAILED: 1, Outcome.XPASSED: 1, Outcome.HUNG: 2, Outcome.CRASHED: 2}


@dataclass(frozen=True, slots=True)
class Baseline:
    """An earlier matrix by what it knew; empty without one, so that every failure is new."""

    rows: dict[str, Row] = field(default_factory=dict)

    def knows(self, kernel: str, result: Result) -> bool:
        """Whether this test ended on the kernel of this name as badly as now, or worse."""
        before = self.rows[kernel].results.get(result.test) if kernel in self.rows else None
        return before is not None and _SEVERITY.get(before.outcome, 0) >= _SEVERITY[result.outcome]

    def knows_kernel(self, kernel: str, bad: str) -> bool:
        """Whether the same was said against the whole kernel."""
        return kernel in self.rows and self.rows[kernel].bad == bad

    def knows_splat(self, kernel: str, line: str) -> bool:
        """Whether the kernel said the same, but for numbers, between whichever tests."""
        run = self.rows[kernel].run if kernel in self.rows else None
        return run is not None and _gist(line) in map(_gist, unexpected_between(run))

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


def _gist(line: str) -> str:
    """A complaint without what differs from boot to boot: where it came between tests, numbers and addresses."""
    kind, _, rest = line.partition(" ")
    return re.sub(r"\b(0x)?[0-9a-f]*\d[0-9a-f]*\b", "N", f"{kind}{rest.partition(': ')[2]}")
