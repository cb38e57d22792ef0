# SPDX-License-Identifier: GPL-2.0-only
"""What a run of the suite came to, read strictly: missing, truncated or contradictory results are never a pass."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from kfunctest import results
from kfunctest.reports.sanitize import one_line
from kfunctest.results import Outcome, Result, Run, Untested
from kfunctest.trial.suite import Ended

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


class Fault(StrEnum):
    """Why a run does not answer for its kernel; of several the first."""

    #: Its results are missing, truncated or damaged.
    LOST = "lost"
    #: They are those of another kernel, or of several.
    FOREIGN = "foreign"
    #: pytest's exit status is another one than they record, or than they explain.
    CONTRADICTORY = "contradictory"
    #: It was ended early; the other: for that only that as many were bad as it was to end for.
    STOPPED = "stopped"
    ENOUGH = "enough"
    #: Some planned test has no result.
    UNREACHED = "unreached"
    #: Every test was skipped, or could not be judged.
    NOTHING_JUDGED = "nothing judged"


@dataclass(frozen=True, slots=True)
class SuiteRun:
    """One run of the suite on one kernel.

    ``status`` is pytest's exit status, or minus the signal that ended it. ``run`` are its results as far as they can be
    read. ``fault`` and ``problem``, one line, say why they do not answer for the kernel: None and empty where they do.
    ``folder`` has the results and consoles; ``seconds`` are the host's.
    """

    status: int
    folder: Path
    run: Run | None = None
    fault: Fault | None = None
    problem: str = ""
    seconds: float = 0.0

    @property
    def results(self) -> dict[str, Result]:
        """The results by test."""
        return by_test(self.run.results) if self.run else {}

    @property
    def untested(self) -> tuple[Untested, ...]:
        """What the kernel has and no test covers."""
        return tuple(one for kernel in self.run.kernels for one in kernel.untested) if self.run else ()


def read(ended: Ended, folder: Path, kernel: str | None = None) -> SuiteRun:
    """What the run came to that ended so, with its results below ``folder``.

    ``kernel`` is the id of the only kernel that they may be about; None where any will do, but no second one.
    """
    if ended.file is None:
        problem = _with_end(ended, "left no results")
        return SuiteRun(ended.status, folder, None, Fault.LOST, problem, ended.seconds)
    run, damage = results.read_partial(ended.file)
    fault, problem = _fault(ended, run, damage, kernel)
    return SuiteRun(ended.status, ended.file.parent, run, fault, problem, ended.seconds)


def _fault(ended: Ended, run: Run | None, damage: str, kernel: str | None) -> tuple[Fault | None, str]:
    if run is None or damage:
        return Fault.LOST, _with_end(ended, damage)
    judged = [one.id for one in run.kernels]
    expected = judged[:1] if kernel is None else [kernel]
    if judged != expected or any(result.kernel not in expected for result in run.results):
        named = ", ".join(sorted({*judged, *(result.kernel for result in run.results)}))
        return Fault.FOREIGN, f"the results are those of {named or 'no kernel'}"
    if run.status != ended.status:
        return Fault.CONTRADICTORY, _with_end(ended, f"the results say status {run.status}")
    if run.stopped:
        bad = any(result.outcome.bad or result.outcome is Outcome.INFRA for result in run.results)
        return Fault.ENOUGH if run.enough and bad else Fault.STOPPED, f"the run ended early: {run.stopped}"
    if run.unreached:
        return Fault.UNREACHED, f"{len(run.unreached)} tests were never reached, the first {run.unreached[0][0]}"
    if not any(result.outcome.judged for result in run.results):
        return Fault.NOTHING_JUDGED, "no test was put to this kernel"
    problem = _unexplained(ended, run)
    return (Fault.CONTRADICTORY if problem else None), problem


def _unexplained(ended: Ended, run: Run) -> str:
    """How the exit status of a complete run contradicts its outcomes; empty where it does not."""
    bad = any(result.outcome.bad for result in run.results) or bool(unexpected_between(run))
    infra = any(result.outcome is Outcome.INFRA for result in run.results)
    if ended.status == 1 and not bad:
        return "pytest ended with status 1, and no result says why"
    if ended.status == 0 and bad:
        return "pytest ended with status 0, and results are bad"
    if ended.status not in (0, 1) and not (ended.status == 3 and (infra or run.unaccepted)):
        return _with_end(ended, "")
    return ""


def _with_end(ended: Ended, what: str) -> str:
    how = f"was ended by signal {-ended.status}" if ended.status < 0 else f"ended with status {ended.status}"
    return "; ".join(part for part in (what, f"pytest {how}", ended.said) if part)


def by_test(found: Iterable[Result]) -> dict[str, Result]:
    """Results by test, the worst where there are several."""
    kept: dict[str, Result] = {}
    for result in found:
        there = kept.get(result.test)
        if there is None or _WORST.index(result.outcome) < _WORST.index(there.outcome):
            kept[result.test] = result
    return kept


def unexpected_between(run: Run) -> list[str]:
    """Splats that no test was running for and none expected, one line each."""
    return [
        f"{splat.kind} after {between.after or 'boot'}, before {between.before or 'the end'}: {one_line(splat.line)}"
        for between in run.between
        for splat in between.splats
        if not splat.expected
    ]
