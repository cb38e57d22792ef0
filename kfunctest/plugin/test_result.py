# SPDX-License-Identifier: GPL-2.0-only
"""From pytest's reports of a test's phases to its one result. What is decided on the way, outcome.py decides.

Each report of a test that judges a kernel carries its :class:`Phase` as a dict of plain values, so that it survives the
way from a worker of pytest-xdist to its controller.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import pytest

from kfunctest.errors import GuestError, KfunctestError, VmDied
from kfunctest.machine.bpf import Verdict
from kfunctest.machine.death import oops
from kfunctest.plugin import SESSION, outcome, plan, reproduce
from kfunctest.plugin.outcome import BEYOND_PYTEST, Facts, Phase, Said, Seen
from kfunctest.plugin.utf8 import fit
from kfunctest.reports.sanitize import first_line
from kfunctest.results import Between, Outcome, Result, Splat

#: Under which name a report carries the dict.
ATTRIBUTE = "kfunctest"
#: The title of the section that shows the kernel's complaints in a test which failed anyway.
COMPLAINTS = "the kernel's complaints"
#: Lines of the kernel's log that a failure shows on the terminal; reports have all of it.
SHOWN = 60
#: Sections of pytest's that results have fields for.
OF_THEIR_OWN = ("to reproduce", "kernel log")
#: The phase that pytest-xdist makes up for a test whose worker died.
WORKER_DIED = "???"
#: On a test: the error that decided on its last phase.
_DECIDED: pytest.StashKey[BaseException | None] = pytest.StashKey()


def of(report: object) -> Phase | None:
    """What the report of a test that judges a kernel carries; None for any other report."""
    data: dict[str, Any] | None = getattr(report, ATTRIBUTE, None)
    if data is None:
        return None
    typed = {
        "outcome": Outcome(data["outcome"]),
        "splats": tuple(Splat(**splat) for splat in data["splats"]),
        "between": between_of(data["between"]),
    }
    return Phase(**{**data, **typed})


def between_of(data: Iterable[dict[str, Any]]) -> tuple[Between, ...]:
    """What the kernel complained of while no test ran, as it travels."""
    return tuple(Between(**{**found, "splats": tuple(Splat(**splat) for splat in found["splats"])}) for found in data)


def judge(item: pytest.Item, call: pytest.CallInfo[Any], report: pytest.TestReport, seen: Seen) -> None:
    """Decide on the phase, put it on its report, and make sure that pytest takes it for no less.

    Called when pytest and its plugins have made up their minds: a mark ``xfail`` would have excused a crash. Of a test
    that judges no kernel, the kernel's complaints alone are heard.
    """
    judges = item.get_closest_marker("kfunc") is not None
    facts = _facts(item, call, report, seen, _told(item, call) if judges else None)
    found = outcome.of_phase(facts)
    message = _message(found, facts, report)
    _show(item, call, report, facts, found, seen)
    if not judges:
        return
    error, session = facts.error, item.config.stash[SESSION]
    test, kernel, _ = plan.make([item], session.kernels)[item.nodeid]
    phase = Phase(
        name=report.when,
        outcome=found,
        test=test,
        kernel=kernel,
        message=message,
        reproduce=reproduce.command(item.nodeid, item.config) if report.failed else "",
        splats=seen.splats,
        log=seen.log,
        verifier=_verifier(item, error, report),
        console=session.console if "vm" in getattr(item, "fixturenames", ()) else "",
        between=seen.between,
        booting=isinstance(error, VmDied) and error.booting,
        untried=error.untried if isinstance(error, VmDied | KfunctestError) else "",
        again=error is not None and error is item.stash.get(_DECIDED, None),
    )
    item.stash[_DECIDED] = error
    if phase.reproduce:
        report.sections.append(("to reproduce", phase.reproduce))
    setattr(report, ATTRIBUTE, fit(asdict(phase)))


def _facts(
    item: pytest.Item, call: pytest.CallInfo[Any], report: pytest.TestReport, seen: Seen, error: BaseException | None
) -> Facts:
    said = Said(report.outcome)
    if report.skipped and hasattr(report, "wasxfail"):
        said = Said.EXCUSED
    elif report.failed and call.excinfo is None and item.get_closest_marker("xfail"):
        said = Said.UNRAISED
    session = item.config.stash[SESSION]
    killed = isinstance(error, GuestError) and error.kind == "WorkerDied" and not report.passed
    return Facts(
        said,
        error,
        # Whether the kernel has said since the test began that it killed a process of ours, and not a test.
        oopsed=killed
        and session.running is not None
        and oops(session.running.console.text(session.console_at)) is not None,
        runs="vm" in getattr(item, "fixturenames", ()) and session.running is not None,
        complaint=seen.complaint,
        absent=seen.absent,
    )


def _told(item: pytest.Item, call: pytest.CallInfo[Any]) -> BaseException | None:
    """The error that decides: the phase's own; else the loss of the VM, which a test may have swallowed."""
    error = call.excinfo.value if call.excinfo else None
    found = _within(error)
    lost = item.config.stash[SESSION].newly_lost()
    if isinstance(lost, VmDied) and not isinstance(found, VmDied):
        return lost
    return found or error


def _within(error: BaseException | None) -> BaseException | None:
    """The VM's end or the machine's fault among ``error``, what it groups, and what it was raised from."""
    seen: set[int] = set()
    left = [error]
    while left:
        at = left.pop(0)
        if at is None or id(at) in seen:
            continue
        if isinstance(at, VmDied | KfunctestError):
            return at
        seen.add(id(at))
        left += [*getattr(at, "exceptions", ()), at.__cause__, None if at.__suppress_context__ else at.__context__]
    return None


def _show(
    item: pytest.Item,
    call: pytest.CallInfo[Any],
    report: pytest.TestReport,
    facts: Facts,
    found: Outcome,
    seen: Seen,
) -> None:
    """Let pytest's report say and show what was decided, and what the kernel complained of."""
    error, why = facts.error, facts.kernels
    text = "\n\n".join([why, *(splat.text for splat in seen.splats if not splat.expected)])
    beyond = found in BEYOND_PYTEST or (found is Outcome.FAILED and facts.machines)
    if why and (beyond or facts.said is Said.FAILED):
        report.sections.append((COMPLAINTS, text))
    if beyond or (why and facts.said is not Said.FAILED):
        report.outcome = "failed"
        report.__dict__.pop("wasxfail", None)
    if not beyond:
        report.longrepr = text if why and facts.said is not Said.FAILED else report.longrepr
    elif isinstance(error, KfunctestError):
        report.longrepr = f"{error.evidence.rstrip()}\n\n{error}".lstrip()
    elif call.excinfo is None:
        report.longrepr = str(error)
    else:
        report.longrepr = item.repr_failure(call.excinfo)
    if seen.log and report.failed:
        report.sections.append(("kernel log", "\n".join(seen.log.splitlines()[-SHOWN:])))


def _verifier(item: pytest.Item, error: BaseException | None, report: pytest.TestReport) -> str:
    """What the verifier said: why it refused a program, or the verdict that the test is about."""
    if isinstance(error, GuestError) and error.log:
        return error.log
    verdict = getattr(item, "funcargs", {}).get("verdict") if report.when == "call" else None
    return verdict.log if isinstance(verdict, Verdict) else ""


def _message(found: Outcome, facts: Facts, report: pytest.TestReport) -> str:
    """One line: what was raised, and what the kernel said or did not say."""
    error, longrepr = facts.error, report.longrepr
    own = ""
    if isinstance(error, VmDied):
        own = error.what
    elif isinstance(error, KfunctestError):
        own = str(error)
    elif found is Outcome.SKIPPED:
        text = longrepr[2] if isinstance(longrepr, tuple) else str(longrepr or "")
        own = first_line(text.removeprefix("Skipped: "))
    elif found is Outcome.XFAILED:
        own = first_line(str(getattr(report, "wasxfail", "")).removeprefix("reason: "))
    elif report.failed and not (facts.complaint and facts.said is Said.UNRAISED):
        crash = getattr(longrepr, "reprcrash", None)
        own = first_line(crash.message if crash else str(longrepr or ""))
    elif found is Outcome.INFRA and error is not None:  # which a mark xfail had excused
        own = first_line(f"{type(error).__name__}: {error}")
    return "; ".join(filter(None, (own, facts.kernels if found is Outcome.FAILED else "")))


def result(reports: Sequence[pytest.TestReport], test: str, kernel: str, line: int) -> Result:
    """The result of a test, from the reports of its phases in their order. ``line`` is where the test begins."""
    phases = [of(report) or _unjudged(report) for report in reports]
    number, before = outcome.of_test(phases)
    deciding, at = phases[number], reports[number]
    file = test.partition("::")[0]
    return Result(
        test=test,
        kernel=kernel,
        outcome=deciding.outcome,
        phase=outcome.first_wrong(phases),
        seconds=round(sum(report.duration for report in reports), 3),
        message="; ".join(filter(None, (before, deciding.message))),
        details="\n".join(filter(None, map(_details, reports))),
        reproduce=next(filter(None, (phase.reproduce for phase in phases)), ""),
        file=file,
        line=_failing_line(at, file) or line,
        splats=tuple(splat for phase in phases for splat in phase.splats),
        log="".join(phase.log for phase in phases),
        verifier="\n".join(filter(None, (phase.verifier for phase in phases))),
        worker=getattr(at, "worker_id", ""),
        # Each phase's report has those of the phases before as well.
        properties=tuple((str(fit(name)), str(fit(value))) for name, value in reports[-1].user_properties),
        console=next(filter(None, (phase.console for phase in reversed(phases))), ""),
    )


def _unjudged(report: pytest.TestReport) -> Phase:
    """That of a worker that died says nothing about a kernel; its longreprtext begins with the worker's Python."""
    return Phase("", Outcome.INFRA, message="" if report.passed else first_line(str(fit(str(report.longrepr or "")))))


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
