# SPDX-License-Identifier: GPL-2.0-only
"""Writes down what a run finds as it finds it, and at its end the reports.

pytest-xdist's controller collects nothing; each worker tells it the plan through a channel of execnet's that travels to
the worker in its input (xdist forwards no other message than its own).
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from _pytest.outcomes import Exit  # pytest.exit.Exception, which mypy does not take for a class

from kfunctest import files, results
from kfunctest.errors import KfunctestError
from kfunctest.plugin import BETWEEN, facts, report_files, test_result
from kfunctest.plugin import plan as plans
from kfunctest.plugin.run_end import RunEnd, Why
from kfunctest.plugin.session import Session
from kfunctest.plugin.splats import Splats
from kfunctest.plugin.stop import Stop, stop
from kfunctest.plugin.utf8 import fit
from kfunctest.results import Between, Result, Run

#: Under which key a worker of pytest-xdist finds the channel for its plan.
PLAN = "kfunctest_plan"
LATEST = "latest"


def of_this_process(config: pytest.Config, session: Session, splats: Splats, run_end: RunEnd) -> Recorder | Reporter:
    """What records the run of this process, or tells the process that does."""
    worker: dict[str, Any] | None = getattr(config, "workerinput", None)
    if worker is None:
        return Recorder(config, session, splats, run_end)
    return Reporter(session, splats, run_end, worker.get(PLAN))


class Reporter:
    """In a worker of pytest-xdist: says what it has collected."""

    def __init__(self, session: Session, splats: Splats, run_end: RunEnd, channel: Any) -> None:
        self._session = session
        self._splats = splats
        self._run_end = run_end
        self._channel = channel

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Send the plan before xdist sends its own message, so that it is there first."""
        if self._channel and not session.config.option.collectonly:
            self._channel.send(_plan(session, self._session))

    @pytest.hookimpl(wrapper=True)
    def pytest_report_to_serializable(self) -> Generator[None, Any, Any]:
        """Let a report through whatever its test, a console or a program said."""
        return fit((yield))

    def finish(self, session: pytest.Session) -> None:
        """As the Recorder, as far as it goes without results; xdist sends what is left for the controller."""
        self._splats.finish(session)
        self._session.close()
        self._run_end.decide(session, None)


def _plan(session: pytest.Session, ours: Session) -> plans.Plan:
    judging = [item for item in session.items if item.get_closest_marker("kfunc")]
    try:
        return plans.make(judging, ours.kernels) if judging else {}
    except Stop:
        return {}  # said by the hook that fetches the kernels


class Recorder:
    """In the one process that sees every report: pytest itself, or pytest-xdist's controller."""

    def __init__(self, config: pytest.Config, session: Session, splats: Splats, run_end: RunEnd) -> None:
        self._config = config
        self._session = session
        self._splats = splats
        self._run_end = run_end
        self._commands = report_files.Commands(config)
        config.pluginmanager.register(self._commands, "kfunctest-github")
        self._plan: plans.Plan = {}
        self._phases: dict[tuple[str, str], list[pytest.TestReport]] = {}
        self._run: Run | None = None
        self._folder = Path()
        self._results: list[Result] = []
        self._between: list[Between] = []
        self._stopped = ""
        self._enough = False
        #: Why the file cannot be written, one line. Nothing is added to a file that lost a line.
        self._trouble = ""

    @property
    def run(self) -> Run | None:
        """The run as far as it came; None where no test judges a kernel."""
        return self._run and replace(self._run, results=tuple(self._results), between=tuple(self._between))

    @property
    def _file(self) -> Path:
        return self._folder / results.NAME

    def add_between(self, found: Between) -> None:
        """Record splats that no test was running for."""
        self._between.append(found)
        self._write("between", found)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Give a worker of pytest-xdist the channel for its plan."""
        channel = node.gateway.newchannel()
        channel.setcallback(self._plan.update)
        node.workerinput[PLAN] = channel

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Begin the file, once the kernels are there and it is known what is judged."""
        if not session.testsfailed and not session.config.option.collectonly:
            self._plan = _plan(session, self._session)
            self._begin()

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self) -> None:
        """Begin the file in a controller."""
        self._begin()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Record a test as soon as its last phase has ended."""
        if report.nodeid not in self._plan:
            return
        for found in phase.between if (phase := test_result.of(report)) else ():
            self.add_between(found)
        key = (report.nodeid, getattr(report, "worker_id", ""))
        if report.when == test_result.WORKER_DIED:
            key = next((known for known in self._phases if known[0] == report.nodeid), key)
        self._phases.setdefault(key, []).append(report)
        if report.when in ("teardown", test_result.WORKER_DIED):
            self._add(key)

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_testnodedown(self, node: object) -> None:
        """Take over what a worker of pytest-xdist saw after its last test."""
        for found in test_result.between_of(getattr(node, "workeroutput", {}).get(BETWEEN, ())):
            self.add_between(found)

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Remember why the run ends early."""
        self._stopped = excinfo.value.msg if isinstance(excinfo.value, Exit) else "interrupted"

    def pytest_internalerror(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Remember that pytest broke."""
        self._stopped = f"internal error: {excinfo.exconly()}".splitlines()[0]

    def finish(self, session: pytest.Session) -> None:
        """The end of the run, in its order. Fixtures are done with the VM by now."""
        for found in self._splats.finish(session):
            self.add_between(found)
        self._session.close()
        if self._run is None and self._stopped and self._session.resolved:
            self._begin(anyway=True)  # a kernel that cannot be judged at all, which a reader must learn
        for key in [key for key, reports in self._phases.items() if any(not report.passed for report in reports)]:
            self._add(key)  # its teardown was interrupted; what it found before is true
        bound = session.config.option.maxfail
        self._enough = not self._stopped and bool(session.shouldfail) and 0 < bound <= session.testsfailed
        self._stopped = self._stopped or str(session.shouldfail or session.shouldstop or "")
        run = self.run
        self._run_end.decide(session, run)
        if run:
            self._end(session, run)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say where the reports are."""
        if self._run and not self._trouble:
            terminalreporter.write_line(f"report: {self._folder / 'report.html'}")
        if self._run:
            self._commands.obeyed(terminalreporter, report_files.for_github(self._run))

    def _begin(self, *, anyway: bool = False) -> None:
        if self._run or not (self._plan or anyway):
            return
        planned = tuple((test, kernel) for test, kernel, _ in self._plan.values())
        run = Run(**facts.of_run(self._config, self._session, look_up=not anyway), planned=planned)
        try:
            self._folder = self._session.results
        except KfunctestError as error:
            if anyway:
                return
            stop(error)
        self._run = run
        try:
            results.begin(self._file, run)
            files.point(self._folder.parent / LATEST, self._folder.name)
        except OSError as error:
            self._cannot(error)

    def _add(self, key: tuple[str, str]) -> None:
        test, kernel, line = self._plan[key[0]]
        found = test_result.result(self._phases.pop(key), test, kernel, line)
        self._results.append(found)
        self._write("result", found)

    def _write(self, kind: str, content: Result | Between) -> None:
        if self._run is None or self._trouble:
            return
        try:
            results.write_line(self._file, kind, content)
        except OSError as error:
            self._cannot(error)

    def _end(self, session: pytest.Session, run: Run) -> None:
        """Write the reports, then the last line: a run that is killed on the way has none."""
        recorded, status = not self._trouble, int(session.exitstatus)
        self._run = replace(run, ended=results.now(), status=status, stopped=self._stopped, enough=self._enough)
        try:
            report_files.write(self._run, self._folder, self._config)
        except OSError as error:
            self._cannot(error)
        session.exitstatus = status = self._run_end.status(status)
        self._run = replace(self._run, status=status)
        if not recorded:
            return
        try:
            results.end(self._file, self._run)
        except OSError as error:
            self._cannot(error)
            session.exitstatus = self._run_end.status(status)

    def _cannot(self, error: OSError) -> None:
        if not self._trouble:
            self._trouble = f"{self._folder} cannot be written ({error.strerror}); choose another with --results"
            self._run_end.untold(Why.NOT_RECORDED, self._trouble)
