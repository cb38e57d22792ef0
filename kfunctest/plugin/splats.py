# SPDX-License-Identifier: GPL-2.0-only
"""A test during which the kernel complains fails, and no other; what it complains of between tests fails the run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterable
from dataclasses import asdict, replace
from typing import Any

import pytest
from _pytest.outcomes import Exit  # pytest.exit.Exception, which mypy does not take for a class

from kfunctest.errors import VmDied, VmLost
from kfunctest.machine.log_follower import Found, Watch
from kfunctest.machine.vm import Vm
from kfunctest.plugin import BETWEEN, DOUBTS, SESSION, plan, test_result
from kfunctest.plugin.expect_splat import HELP, expectations
from kfunctest.plugin.outcome import Seen
from kfunctest.plugin.run_end import RunEnd, Why
from kfunctest.plugin.test_result import SHOWN
from kfunctest.plugin.utf8 import fit
from kfunctest.results import Between, Splat

#: What runs on a machine that goes on living, and logged what others did, instead of an accelerator's name.
NATIVE = "native"


class Splats:
    """The plugin, in every process that runs tests or prints what came of them."""

    def __init__(self, config: pytest.Config, run_end: RunEnd) -> None:
        self._config = config
        self._run_end = run_end
        self._watch: Watch | None = None
        #: The test that uses the VM now, or None; and the names of the last one and its kernel.
        self._item: pytest.Item | None = None
        self._after = ("", "")
        #: The test that is about to get a VM, or empty.
        self._next = ""
        #: Of the test that runs: what this phase found, what its earlier ones did, and what was found before it.
        self._found = Found()
        self._earlier: tuple[Splat, ...] = ()
        self._unreported: list[Between] = []
        self._between: list[Between] = []
        self._doubts: list[str] = []
        config.addinivalue_line("markers", HELP)
        config.stash[SESSION].before_end = self._last_look

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Refuse a mark that could never be met."""
        for item in items:
            expectations(item)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[object], request: pytest.FixtureRequest
    ) -> Generator[None, object, object]:
        """The test begins for the kernel when it gets its VM. What was logged before is nobody's."""
        if fixturedef.argname != "vm" or not isinstance(request.node, pytest.Item):
            return (yield)
        test, kernel = self._names(request.node)
        self._next = test
        self._look_between(lambda watch: watch.begin(f"begin {test}"))
        vm = yield
        if not isinstance(vm, Vm):
            return vm
        if self._watch is None or self._watch.vm is not vm:
            self._watch = Watch(vm, ours=vm.accelerator.name != NATIVE)
            booted = self._watch.begin(f"begin {test}")
            self._tell(booted, "", test, kernel)
            if booted.died:
                raise booted.died
        self._item = request.node
        return vm

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None]:
        """What is logged by a setup that fails; that of another belongs to its test's function."""
        try:
            yield
        except BaseException as error:
            self._look(item, "set up", error)
            raise

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None]:
        """What is logged by the test."""
        try:
            yield
        finally:
            self._look(item, "called", sys.exception())

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None]:
        """What is logged on the way out. After that no test is to blame until the next one gets the VM."""
        try:
            yield
        finally:
            self._look(item, "end", sys.exception())
            if self._item is item:
                self._item = None
                self._after = self._names(item)

    def seen(self, item: pytest.Item, phase: str) -> Seen:
        """What the kernel logged in the phase of this test that has just ended: setup, call or teardown."""
        if phase == "setup":
            self._earlier = ()
        expected = expectations(item)
        splats = tuple(replace(splat, expected=expected.covers(splat)) for splat in self._found.splats)
        log, self._found = self._found.log, Found()
        self._earlier = (*self._earlier, *splats)
        between, self._unreported = tuple(self._unreported), []
        complaint = absent = ""
        if unexpected := [splat for splat in splats if not splat.expected]:
            more = f" (and {len(unexpected) - 1} more)" if len(unexpected) > 1 else ""
            complaint = f"the kernel complained: {unexpected[0].kind}: {unexpected[0].line}{more}"
        elif phase == "call" and (missing := expected.absent(self._earlier)):
            absent = f"the kernel was expected to complain, and did not: {', '.join(missing)}"
        return Seen(splats, log, complaint, absent, between)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what is said of the time before a test, in the process that decides on the run's status."""
        if phase := test_result.of(report):
            self._keep(phase.between)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: object) -> None:
        """The same, for the time after the last test of a worker of pytest-xdist."""
        output: dict[str, Any] = getattr(node, "workeroutput", {})
        self._keep(test_result.between_of(output.get(BETWEEN, ())))
        self._doubt(output.get(DOUBTS, ()))

    def finish(self, session: pytest.Session) -> tuple[Between, ...]:
        """Look once more, at the end of the run. Who interrupts it does not wait for more than that.

        Returns what is on no test's report; a worker of pytest-xdist tells its controller instead.
        """
        self._next = ""
        self._look_between(lambda watch: watch.look("the run ends", always=True))
        if (running := self._config.stash[SESSION].running) and session.exitstatus != pytest.ExitCode.INTERRUPTED:
            self._last_look(running)
        self._watch = None
        output: dict[str, Any] | None = getattr(self._config, "workeroutput", None)
        if output is not None:
            output[BETWEEN] = fit([asdict(between) for between in self._unreported])
            output[DOUBTS] = self._doubts
            return ()
        self._keep(self._unreported)
        self._doubt(self._doubts)
        return tuple(self._unreported)

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show what belongs to no test."""
        if self._between:
            terminalreporter.section("SPLATS BETWEEN TESTS", red=True)
        for between in self._between:
            terminalreporter.write_line(where(between), red=True)
            for splat in between.splats:
                terminalreporter.write_line(f"{splat.kind}: {splat.line}")
                terminalreporter.write_line("\n".join(splat.text.splitlines()[:SHOWN]))

    def _names(self, item: pytest.Item) -> tuple[str, str]:
        test, kernel, _ = plan.make([item], self._config.stash[SESSION].kernels).get(item.nodeid, (item.nodeid, "", 0))
        return test, kernel

    def _look(self, item: pytest.Item, word: str, error: BaseException | None) -> None:
        """Look at what the phase of this test logged. Raises VmDied or VmHung where that is when the VM was lost."""
        if self._item is not item or self._watch is None or isinstance(error, KeyboardInterrupt | Exit):
            return
        self._found = self._watch.look(f"{word} {self._names(item)[0]}")
        if self._found.died:
            raise self._found.died

    def _last_look(self, vm: Vm) -> None:
        """Before a VM ends: what did its kernel leak?"""
        if not vm.lost:
            self._look_between(Watch.leaks)

    def _look_between(self, look: Callable[[Watch], Found]) -> None:
        """Look at what the VM logged since the last test, whichever VM the next one gets."""
        session = self._config.stash[SESSION]
        watch, self._watch = self._watch, None
        if watch is None or watch.vm is not session.running:
            return
        found = look(watch)
        if found.died:
            session.newly_lost()  # no test lost it
            if not isinstance(found.died, VmLost):
                found = replace(found, splats=found.splats or (_died(found.died),))
        else:
            self._watch = watch
        self._doubts += [found.doubt] if found.doubt else []
        self._tell(found, self._after[0], self._next, self._after[1])

    def _tell(self, found: Found, after: str, before: str, kernel: str) -> None:
        if found.splats:
            self._unreported.append(Between(kernel, after, before, found.splats))

    def _keep(self, found: Iterable[Between]) -> None:
        self._between += found
        if self._between:
            self._run_end.speaks_against_a_kernel()

    def _doubt(self, lines: Iterable[str]) -> None:
        """Say in the process that decides on the run's status what could not be looked for."""
        for line in lines:
            self._run_end.untold(Why.NOT_LOOKED_FOR, line)


def where(between: Between) -> str:
    """When it was, in words."""
    since = f"after {between.after}" if between.after else "while booting"
    until = f"before {between.before}" if between.before else "at the end of the run"
    return f"{between.kernel}, {since}, {until}:"


def _died(why: VmDied) -> Splat:
    return Splat("died", why.what, str(why))
