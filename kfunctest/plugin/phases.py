# SPDX-License-Identifier: GPL-2.0-only
"""From pytest's reports of a test's phases (setup, call, teardown) to its one result."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from kfunctest.plugin.sendable import fit
from kfunctest.reports.text import first_line
from kfunctest.results import Between, Outcome, Result, Splat

#: What a later phase of the test can still take back.
GOOD = (Outcome.PASSED, Outcome.SKIPPED, Outcome.XFAILED)
#: What a failed phase does not hide. An infra error does, but for what the kernel complained of nonetheless: nothing
#: else was learned about a machine that is gone.
WORSE_THAN_FAILED = (Outcome.CRASHED, Outcome.HUNG)
#: Sections of pytest's that results have fields for.
OF_THEIR_OWN = ("to reproduce", "kernel log")
#: The phase that pytest-xdist makes up for a test whose worker died.
WORKER_DIED = "???"


def result(reports: Sequence[pytest.TestReport], test: str, kernel: str, line: int) -> Result:
    """The result of a test, from the reports of its phases in their order. ``line`` is where the test begins."""
    deciding, outcome, before = reports[0], outcome_of(reports[0]), ""
    for report in reports[1:]:
        later = outcome_of(report)
        hidden = outcome in (Outcome.FAILED, Outcome.XPASSED) and later in WORSE_THAN_FAILED
        hidden |= outcome is Outcome.INFRA and later.bad and _complained(report)
        if hidden or (outcome in GOOD and later is not Outcome.PASSED):
            before = str(_said(deciding).get("message", "")) if outcome is Outcome.INFRA else ""
            deciding, outcome = report, later
    said = [_said(report) for report in reports]
    file = test.partition("::")[0]
    return Result(
        test=test,
        kernel=kernel,
        outcome=outcome,
        seconds=round(sum(report.duration for report in reports), 3),
        message="; ".join(filter(None, (before, _said(deciding).get("message") or _message(deciding)))),
        details="\n".join(filter(None, (_details(report) for report in reports))),
        reproduce=next((text for extra in said if (text := extra.get("reproduce"))), ""),
        file=file,
        line=_failing_line(deciding, file) or line,
        splats=tuple(splat for extra in said for splat in splats(extra.get("splats", ()))),
        log="".join(extra.get("log") or "" for extra in said),
        verifier="\n".join(filter(None, (extra.get("verifier") for extra in said))),
        worker=getattr(deciding, "worker_id", ""),
        # Each phase's report has those of the phases before as well.
        properties=tuple((str(fit(name)), str(fit(value))) for name, value in reports[-1].user_properties),
        console=next((name for extra in reversed(said) if (name := extra.get("console"))), ""),
    )


def outcome_of(report: pytest.TestReport) -> Outcome:
    """How one phase ended. A report that nobody judged, as that of a worker that died, says nothing about a kernel."""
    return Outcome(_said(report).get("outcome", Outcome.INFRA))


def _complained(report: pytest.TestReport) -> bool:
    """Whether the kernel complained in this phase of something that nobody expected."""
    return any(not splat["expected"] for splat in _said(report).get("splats", ()))


def splats(data: Iterable[dict[str, Any]]) -> tuple[Splat, ...]:
    """Splats as they travel in a report."""
    return tuple(Splat(**splat) for splat in data)


def between(report: pytest.TestReport) -> Iterable[Between]:
    """What the kernel complained of while no test ran, as far as this phase's report tells."""
    return between_of(_said(report).get("between", ()))


def between_of(data: Iterable[dict[str, Any]]) -> Iterable[Between]:
    """The same as it travels in a report, or from a worker of pytest-xdist that has ended."""
    for found in data:
        yield Between(**{**found, "splats": splats(found["splats"])})


def _said(report: pytest.TestReport) -> dict[str, Any]:
    """What the process that ran the test says of this phase, beyond pytest's own."""
    said: dict[str, Any] = fit(getattr(report, "kfunctest", None) or {})
    return said


def _message(report: pytest.TestReport) -> str:
    """What pytest-xdist says of a worker that died; not longreprtext, which begins with the worker's Python."""
    return "" if report.passed else first_line(str(fit(str(report.longrepr or ""))))


def _details(report: pytest.TestReport) -> str:
    if report.passed or isinstance(report.longrepr, tuple):
        return ""
    shown = [f"--- {title} ---\n{text}" for title, text in report.sections if title not in OF_THEIR_OWN]
    return str(fit("\n".join([f"=== {report.when} ===", report.longreprtext, *shown])))


def _failing_line(report: pytest.TestReport, file: str) -> int:
    """The line of the test's own file at which it failed, or 0."""
    traceback = getattr(report.longrepr, "reprtraceback", None)
    places = [getattr(entry, "reprfileloc", None) for entry in traceback.reprentries] if traceback else []
    return next((place.lineno for place in reversed(places) if place and place.path.endswith(file)), 0)
