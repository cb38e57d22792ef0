# SPDX-License-Identifier: GPL-2.0-only
"""How a phase of a test ended, beyond what pytest knows: crashed, hung and infra are told from failed.

Each report of a test that judges a kernel carries :data:`ATTRIBUTE`, a dict of plain values, so that it survives the
way from a worker of pytest-xdist to its controller: ``outcome``, ``kernel`` (its id), ``test`` (the node id without the
kernel's), ``message`` (one line), ``reproduce``, and what others add: ``splats``, ``log``, ``verifier``.
"""

from __future__ import annotations

from typing import Any

import pytest

from kfunctest.errors import GuestError, KfunctestError, VmDied, VmHung, VmLost
from kfunctest.plugin import ADDED, COMPLAINT, COMPLAINTS, SESSION, plan, reproduce
from kfunctest.reports.text import first_line
from kfunctest.results import Outcome
from kfunctest.target.bpf import Verdict
from kfunctest.target.death import oops

#: Under which name a report carries the dict.
ATTRIBUTE = "kfunctest"
#: What the VM's end, or the machine's fault, is called; the first that fits.
_BY_ERROR = (
    (VmHung, Outcome.HUNG),
    (VmLost, Outcome.INFRA),
    (VmDied, Outcome.CRASHED),
    (KfunctestError, Outcome.INFRA),
)
#: Errors on the host that no kernel brings about: ours, or the machine's.
_NO_KERNELS = (NameError, ImportError, SyntaxError, OSError, MemoryError, pytest.FixtureLookupError)
#: What a test says of a kernel, or the kernel itself.
_FINDINGS = (AssertionError, GuestError, TimeoutError)
#: The same errors in the guest, which has our code and the machine's Python.
_NO_KERNELS_IN_GUEST = ("NameError", "UnboundLocalError", "ImportError", "ModuleNotFoundError", "SyntaxError")
#: Those that pytest has no words for.
BEYOND_PYTEST = (Outcome.CRASHED, Outcome.HUNG, Outcome.INFRA)


def of(report: object) -> dict[str, Any] | None:
    """What the report of a test that judges a kernel carries; None for any other report."""
    found: dict[str, Any] | None = getattr(report, ATTRIBUTE, None)
    return found


def annotate(item: pytest.Item, call: pytest.CallInfo[Any], report: pytest.TestReport) -> None:
    """Judge the phase, put what was found on its report, and make sure that the VM's end never passes for less.

    Called when pytest and its plugins have made up their minds: a mark ``xfail`` would have excused a crash.
    """
    error = _told(item, call)
    outcome = _outcome(item, error, call, report)
    added = item.stash.get(ADDED, {}).copy()
    complaint = added.pop(COMPLAINT, "")
    if outcome in BEYOND_PYTEST:
        if complaint and all(title != COMPLAINTS for title, _ in report.sections):
            report.sections.append((COMPLAINTS, report.longreprtext))
        _make_failed(item, error, call, report)
    test, kernel, _ = plan.make([item], item.config.stash[SESSION].kernels)[item.nodeid]
    carried: dict[str, Any] = {
        "outcome": str(outcome),
        "kernel": kernel,
        "test": test,
        "message": _message(outcome, error, report),
        "reproduce": "",
        "splats": [],
        "log": "",
        "verifier": _verifier(item, error, report),
    }
    # A complaint of the kernel decides, unless it is dead: what the machine did afterwards unsays none.
    if outcome is Outcome.INFRA and complaint:
        added["message"] = f"{carried['message']}; {complaint}"
    elif outcome in BEYOND_PYTEST:
        added = {key: value for key, value in added.items() if key not in ("outcome", "message")}
    carried |= added
    if report.failed:
        carried["reproduce"] = reproduce.command(item.nodeid, item.config)
        report.sections.append(("to reproduce", carried["reproduce"]))
    setattr(report, ATTRIBUTE, carried)


def _told(item: pytest.Item, call: pytest.CallInfo[Any]) -> BaseException | None:
    """The error that decides: the phase's own; else the loss of the VM, which a test may have swallowed."""
    error = call.excinfo.value if call.excinfo else None
    found = _within(error)
    lost = item.config.stash[SESSION].newly_lost()
    if isinstance(lost, VmDied) and not isinstance(found, VmDied):
        return lost
    return found or error


def _within(error: BaseException | None) -> BaseException | None:
    """An error of _BY_ERROR among ``error``, what it groups, and what it was raised from."""
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


def _outcome(
    item: pytest.Item, error: BaseException | None, call: pytest.CallInfo[Any], report: pytest.TestReport
) -> Outcome:
    for kind, outcome in _BY_ERROR:
        if isinstance(error, kind):
            return outcome
    if isinstance(error, GuestError) and error.kind == "WorkerDied" and not report.passed and _oopsed(item):
        return Outcome.CRASHED
    if (report.failed or hasattr(report, "wasxfail")) and _is_ours(item, error):
        return Outcome.INFRA
    if report.failed:
        return Outcome.XPASSED if call.excinfo is None and _xfail(item) else Outcome.FAILED
    if report.skipped:
        return Outcome.XFAILED if hasattr(report, "wasxfail") else Outcome.SKIPPED
    return Outcome.PASSED


def _is_ours(item: pytest.Item, error: BaseException | None) -> bool:
    """Whether the error is a fault of ours or of this machine's: any but a finding is, where no kernel runs yet."""
    if isinstance(error, GuestError):
        return error.kind in _NO_KERNELS_IN_GUEST
    if not isinstance(error, Exception) or isinstance(error, _FINDINGS):
        return False
    runs = "vm" in getattr(item, "fixturenames", ()) and item.config.stash[SESSION].running is not None
    return isinstance(error, _NO_KERNELS) or not runs


def _xfail(item: pytest.Item) -> bool:
    return item.get_closest_marker("xfail") is not None


def _oopsed(item: pytest.Item) -> bool:
    """Whether the kernel has said since the test began that it killed a process of ours, and not a test."""
    session = item.config.stash[SESSION]
    return session.running is not None and oops(session.running.console.text(session.console_at)) is not None


def _make_failed(
    item: pytest.Item, error: BaseException | None, call: pytest.CallInfo[Any], report: pytest.TestReport
) -> None:
    report.outcome = "failed"
    report.__dict__.pop("wasxfail", None)
    if isinstance(error, KfunctestError):
        report.longrepr = f"{error.evidence.rstrip()}\n\n{error}".lstrip()
    elif call.excinfo is None:
        report.longrepr = str(error)
    else:
        report.longrepr = item.repr_failure(call.excinfo)


def _verifier(item: pytest.Item, error: BaseException | None, report: pytest.TestReport) -> str:
    """What the verifier said: why it refused a program, or the verdict that the test is about."""
    if isinstance(error, GuestError) and error.log:
        return error.log
    verdict = getattr(item, "funcargs", {}).get("verdict") if report.when == "call" else None
    return verdict.log if isinstance(verdict, Verdict) else ""


def _message(outcome: Outcome, error: BaseException | None, report: pytest.TestReport) -> str:
    if isinstance(error, VmDied):
        return error.what
    if isinstance(error, KfunctestError):
        return str(error)
    if outcome is Outcome.SKIPPED:
        text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr or "")
        return first_line(text.removeprefix("Skipped: "))
    if outcome is Outcome.XFAILED:
        return first_line(str(getattr(report, "wasxfail", "")).removeprefix("reason: "))
    if not report.failed:
        return ""
    crash = getattr(report.longrepr, "reprcrash", None)
    return first_line(crash.message if crash else str(report.longrepr or ""))
