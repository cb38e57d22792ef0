# SPDX-License-Identifier: GPL-2.0-only
"""The early end of a run: one line on the terminal, the last one, and the documented exit status."""

from __future__ import annotations

import traceback
from collections.abc import Generator, Sequence
from typing import Any, NoReturn

import pytest
from _pytest.outcomes import Exit  # pytest.exit.Exception, which mypy does not take for a class

from kfunctest.errors import EXIT_INFRA, KfunctestError
from kfunctest.plugin import output
from kfunctest.plugin.statuses import Statuses

#: Under which key a worker of pytest-xdist tells its controller why it ended.
REASON = "kfunctest"


class Stop(Exit):
    """The end of the whole run. ``evidence`` is what is shown above the line; ``status`` is pytest's exit status."""

    def __init__(self, line: str, status: int, evidence: str = "") -> None:
        super().__init__(line, status)
        self.line = line
        self.status = status
        self.evidence = evidence


def stop(error: KfunctestError) -> NoReturn:
    """End the run with this error's line and status."""
    raise Stop(str(error), error.exit_status, error.evidence)


def none_of_the_kfuncs(releases: Sequence[str]) -> Stop:
    """A kernel without the kfuncs fails at once: booting it would teach nothing, and a skip would look like a pass."""
    line = (
        f"{', '.join(releases)} {'has' if len(releases) == 1 else 'have'} none of the memcg BPF kfuncs "
        "(no bpf_mem_cgroup_* function in BTF); judge a kernel of 7.0 or newer, or one with the series applied"
    )
    return Stop(line, int(pytest.ExitCode.TESTS_FAILED))


def no_asserts() -> Stop:
    """Python skips the asserts of all files but those of tests: what they would have found would pass."""
    return Stop(
        "Python runs without asserts (-O, PYTHONOPTIMIZE), so nothing can be judged; run it without", EXIT_INFRA
    )


class Ending:
    """A plugin that says why a run ended early: pytest itself would show an exception in a row of exclamation marks."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._why: Stop | None = None

    @pytest.hookimpl(trylast=True)
    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Take over from pytest what it would print about a Stop."""
        if isinstance(excinfo.value, Stop):
            self._why = excinfo.value
            if self._why.status == pytest.ExitCode.TESTS_FAILED:
                self._config.pluginmanager.getplugin(Statuses.NAME).speaks_against_a_kernel()
            if reporter := self._config.pluginmanager.getplugin("terminalreporter"):
                reporter._keyboardinterrupt_memo = None  # noqa: SLF001 (pytest has no public way)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logstart(self) -> None:
        """End a run that nobody can follow before its next test."""
        if why := output.lost(self._config):
            raise _nowhere_to_write(why)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Tell the controller of pytest-xdist, where we are a worker of it."""
        output: dict[str, Any] | None = getattr(self._config, "workeroutput", None)
        if output is not None and self._why:
            output[REASON] = (self._why.line, self._why.status, self._why.evidence)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """End the run when a worker of pytest-xdist did: what stopped it would stop the others.

        One that died took along what it saw after its last report, a complaint of the kernel maybe.
        """
        output: dict[str, Any] | None = getattr(node, "workeroutput", None)
        if output and (reason := output.get(REASON)):
            raise Stop(*reason)
        if error and output is None:
            self.add(Stop(f"worker {node.gateway.id} died, and what it saw last is lost; run again", EXIT_INFRA))
            self._config.pluginmanager.getplugin(Statuses.NAME).could_not_tell()

    def add(self, why: Stop) -> None:
        """Say ``why`` at the end of a run that went on."""
        self._why = self._why or why

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """Write the line, after everything else that is written."""
        if hasattr(self._config, "workerinput"):
            return
        if lost := output.lost(self._config):
            self.add(_nowhere_to_write(lost))
        if self._why is None:
            return
        text = f"kfunctest: {self._why.line}"
        if self._why.evidence:
            text = f"{self._why.evidence.rstrip()}\n{text}"
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
            status = int((yield))
        except pytest.UsageError:
            raise
        except KeyboardInterrupt:
            status = int(pytest.ExitCode.INTERRUPTED)
        except BaseException:  # noqa: BLE001 (whatever it is)
            output.complain(config, traceback.format_exc())
            status = EXIT_INFRA
        statuses: Statuses | None = config.pluginmanager.getplugin(Statuses.NAME)
        return statuses.status(status) if statuses else status


def _nowhere_to_write(why: str) -> Stop:
    return Stop(f"standard output cannot be written ({why}); send it elsewhere, and run again", EXIT_INFRA)
