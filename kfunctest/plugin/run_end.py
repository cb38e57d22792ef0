# SPDX-License-Identifier: GPL-2.0-only
"""The end of a run: its exit status, and the line that says why where the tests alone do not."""

from __future__ import annotations

import traceback
from collections import defaultdict
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from enum import IntEnum, auto
from typing import Any

import pytest

from kfunctest.errors import EXIT_INFRA, EXIT_USAGE
from kfunctest.plugin import SESSION, collect, output, test_result
from kfunctest.plugin.stop import Stop, none_of_the_kfuncs
from kfunctest.results import Outcome, Run

#: Under which key a worker of pytest-xdist tells its controller why it ended.
REASON = "kfunctest"
#: So many tests with one fault of the machine's are worth a line of their own.
MANY = 3


class Why(IntEnum):
    """What a run's last line can be about. Of several the first is said."""

    #: It was ended early.
    STOPPED = auto()
    #: A worker of pytest-xdist died, and took along what it saw after its last report: a complaint of the kernel maybe.
    WORKER_DIED = auto()
    #: Its results or reports could not be written.
    NOT_RECORDED = auto()
    #: One of several kernels could not be judged.
    WITHOUT_KFUNCS = auto()
    #: What the kernel may have leaked, or complained of.
    NOT_LOOKED_FOR = auto()
    #: The machine to judge is not as it was before.
    LEFT_BEHIND = auto()
    NOTHING_SELECTED = auto()
    #: Many tests were kept from judging by one fault of the machine's.
    NOT_JUDGED = auto()
    #: Tests that were to run did not.
    UNREACHED = auto()
    #: The kernel has what no test covers.
    UNTESTED = auto()
    #: Standard output is lost.
    UNHEARD = auto()


@dataclass(frozen=True, slots=True)
class Known:
    """What decides on a run's exit status. ``pytests`` is the one that pytest would have."""

    pytests: int
    #: A result, a splat between tests, or a kernel without the kfuncs speaks against a kernel.
    against: bool = False
    #: A file of tests could not be collected; and pytest, not its user, interrupted the run.
    uncollected: bool = False
    by_itself: bool = False
    #: Something could not be judged, looked for, or written.
    untold: bool = False


def status(known: Known) -> int:
    """The first that fits: 1 where anything speaks against a kernel, and never else."""
    exit_code = pytest.ExitCode
    if known.pytests == exit_code.USAGE_ERROR:
        return known.pytests
    if known.pytests == exit_code.INTERRUPTED and not (known.uncollected and known.by_itself):
        return known.pytests
    if known.against:
        return int(exit_code.TESTS_FAILED)
    if known.uncollected and known.pytests != EXIT_INFRA:
        return EXIT_USAGE
    if known.untold or known.pytests == exit_code.TESTS_FAILED:
        return EXIT_INFRA
    return known.pytests


class RunEnd:
    """The plugin that gathers what is known of the run, and decides, in each process; the controller's counts."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._is_worker = hasattr(config, "workerinput")
        self._reasons: dict[Why, Stop] = {}
        self._against = False
        self._untold = False
        self._uncollected = False
        self._by_itself = False
        #: The tests that ended as infra, by what kept them from judging.
        self._infra: defaultdict[str, set[str]] = defaultdict(set)
        #: Markers of tests that were left out.
        self._left_out: set[str] = set()

    def speaks_against_a_kernel(self) -> None:
        """Something does that is no test's result: a splat that no test was running for."""
        self._against = True

    def untold(self, why: Why, line: str, evidence: str = "") -> None:
        """Something could not be judged, looked for, or written; ``line`` says what, and what to do."""
        self._untold = True
        self._reasons.setdefault(why, Stop(line, EXIT_INFRA, evidence))

    def status(self, pytests: int) -> int:
        """The run's status by what is known so far."""
        untold = self._untold or bool(output.lost(self._config))
        return status(Known(pytests, self._against, self._uncollected, self._by_itself, untold))

    def decide(self, session: pytest.Session, run: Run | None) -> None:
        """Decide once everything has ended. ``run`` are the results; None in a worker, and where no test judges."""
        ours = self._config.stash[SESSION]
        # A worker that has run its tests would end the others' by the line that is the run's last.
        if not self._is_worker and (absent := ours.some_without_kfuncs()):
            self._against = True
            self._reasons.setdefault(Why.WITHOUT_KFUNCS, none_of_the_kfuncs(absent))
        for error in ours.left_behind:
            self.untold(Why.LEFT_BEHIND, str(error), error.evidence)
        if run and run.unaccepted:
            self.untold(Why.UNTESTED, _untested(run))
        session.exitstatus = self.status(int(session.exitstatus))
        if run and run.unreached and session.exitstatus == pytest.ExitCode.OK:
            self.untold(Why.UNREACHED, f"{len(run.unreached)} tests that were to run have no result; run again")
            session.exitstatus = self.status(int(session.exitstatus))
        nothing = pytest.ExitCode.NO_TESTS_COLLECTED
        if session.exitstatus == nothing and collect.may_ask_for_a_kernel(self._config):
            line = collect.nothing_selected(self._config, self._left_out)
            self._reasons[Why.NOTHING_SELECTED] = Stop(line, int(nothing))
        reason = max(self._infra, key=lambda reason: len(self._infra[reason]), default="")
        if (count := len(self._infra.get(reason, ()))) >= MANY:
            self.untold(Why.NOT_JUDGED, f"{count} tests were not judged, for one reason: {reason}")
        self._tell_controller()

    def _tell_controller(self) -> None:
        output: dict[str, Any] | None = getattr(self._config, "workeroutput", None)
        if output is not None and (why := self._reasons.get(Why.STOPPED)):
            output[REASON] = (why.line, why.status, why.evidence)

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Remember what runs on request only."""
        marked = {name for name in collect.ON_REQUEST if any(item.get_closest_marker(name) for item in items)}
        self._left_out |= marked

    @pytest.hookimpl(tryfirst=True)
    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file that cannot be collected is no fault of a kernel's, nor of the machine's."""
        self._uncollected |= report.failed

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logstart(self) -> None:
        """End a run that nobody can follow before its next test."""
        if why := output.lost(self._config):
            raise _unheard(why)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what decides."""
        phase = test_result.of(report)
        if phase is None:
            died = report.failed and report.when == test_result.WORKER_DIED
            self._untold |= died
            self._against |= report.failed and not died
            return
        self._against |= phase.outcome.bad
        if phase.outcome is Outcome.INFRA:
            self._untold = True
            self._infra[phase.untried or phase.message].add(report.nodeid)

    @pytest.hookimpl(trylast=True)
    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Tell pytest's and pytest-xdist's ways of interrupting themselves from Ctrl-C, and take over what a Stop says.

        pytest itself would show it in a row of exclamation marks.
        """
        self._by_itself = excinfo.type is not KeyboardInterrupt
        if isinstance(excinfo.value, Stop):
            self._reasons[Why.STOPPED] = excinfo.value
            self._against |= excinfo.value.status == pytest.ExitCode.TESTS_FAILED
            if reporter := self._config.pluginmanager.getplugin("terminalreporter"):
                reporter._keyboardinterrupt_memo = None  # noqa: SLF001 (pytest has no public way)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """End the run when a worker of pytest-xdist did: what stopped it would stop the others."""
        output: dict[str, Any] | None = getattr(node, "workeroutput", None)
        if output and (reason := output.get(REASON)):
            raise Stop(*reason)
        if error and output is None:
            line = f"worker {node.gateway.id} died, and what it saw last is lost; run again"
            self.untold(Why.WORKER_DIED, line)

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """Write the line, after everything else that is written."""
        if self._is_worker:
            return
        if lost := output.lost(self._config):
            self._reasons[Why.UNHEARD] = _unheard(lost)
        if not self._reasons:
            return
        why = self._reasons[min(self._reasons)]
        text = f"kfunctest: {why.line}"
        if why.evidence:
            text = f"{why.evidence.rstrip()}\n{text}"
        reporter = self._config.pluginmanager.getplugin("terminalreporter")
        if reporter and not lost:
            reporter.write_line(text, red=True)
        else:
            output.complain(self._config, text)  # -p no:terminal


def decided(config: pytest.Config) -> Generator[None, int, int]:
    """Around the whole run, as a wrapper of pytest's hook: its exit status, whatever ends it.

    Without it an exception in a hook, or output that cannot be written, would be Python's status 1.
    """
    if hasattr(config, "workerinput"):
        return (yield)
    with output.watched(config):
        try:
            pytests = int((yield))
        except pytest.UsageError:
            raise
        except KeyboardInterrupt:
            pytests = int(pytest.ExitCode.INTERRUPTED)
        except BaseException:  # noqa: BLE001 (whatever it is)
            output.complain(config, traceback.format_exc())
            pytests = EXIT_INFRA
        run_end: RunEnd | None = config.pluginmanager.getplugin("kfunctest-run-end")
        return run_end.status(pytests) if run_end else pytests


def _unheard(why: str) -> Stop:
    return Stop(f"standard output cannot be written ({why}); send it elsewhere, and run again", EXIT_INFRA)


def _untested(run: Run) -> str:
    """What no test covers, and the remedy, in one line."""
    found = ", ".join(f"{one} of {kernel}" for kernel, one in run.unaccepted)
    accept = " ".join(dict.fromkeys(f"--accept-kfunc {one.name}" for _, one in run.unaccepted))
    return f"no test covers {found}; update the suite, or accept that with {accept}"
