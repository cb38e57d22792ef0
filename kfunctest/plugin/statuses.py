# SPDX-License-Identifier: GPL-2.0-only
"""What the terminal says of crashed, hung and infra, and the run's exit status that follows from all outcomes."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from kfunctest.errors import EXIT_INFRA, EXIT_USAGE
from kfunctest.plugin import SESSION, outcomes, output
from kfunctest.plugin.boots import ENOUGH, NOT_TRIED
from kfunctest.plugin.phases import WORKER_DIED
from kfunctest.results import Outcome

#: The letter of a phase that ended so, and what its section of the terminal is headed.
LETTERS = {Outcome.CRASHED: "C", Outcome.HUNG: "H", Outcome.INFRA: "I"}


class Statuses:
    """A plugin that counts, in the process that has the terminal, what speaks against a kernel and what does not."""

    #: The name under which it is registered.
    NAME = "kfunctest-statuses"

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._bad = False
        self._infra = False
        #: A file of tests could not be collected; and that, not its user, is what interrupted pytest.
        self._uncollected = False
        self._interrupted_itself = False
        self._said: set[tuple[str, str, str]] = set()

    def speaks_against_a_kernel(self) -> None:
        """Make the run's status 1, whatever its tests say: a splat that no test was running for."""
        self._bad = True

    def could_not_tell(self) -> None:
        """Make the run's status 3 unless something speaks against a kernel: a report could not be written."""
        self._infra = True

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(
        self, report: pytest.TestReport
    ) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
        """Category, letter and word of what pytest has none for."""
        carried = outcomes.of(report)
        if carried is None or carried["outcome"] not in LETTERS:
            return None
        outcome = Outcome(carried["outcome"])
        word = outcome.upper()
        told = (report.nodeid, str(outcome), carried["message"])
        if report.when == "teardown" and told in self._said:
            return "", "", ("", {})  # the VM that the test lost is missed again on the way out
        return str(outcome), LETTERS[outcome], (word, {"red": True})

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what decides the status."""
        carried = outcomes.of(report)
        if carried is None:
            died = report.failed and report.when == WORKER_DIED
            self._infra |= died
            self._bad |= report.failed and not died
            return
        outcome = Outcome(carried["outcome"])
        self._bad |= outcome.bad
        self._infra |= outcome is Outcome.INFRA
        self._said.add((report.nodeid, str(outcome), carried["message"]))

    @pytest.hookimpl(tryfirst=True)
    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file that cannot be collected is no fault of a kernel's, nor of the machine's."""
        self._uncollected |= report.failed

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Tell pytest's own ways of interrupting itself, and pytest-xdist's, from Ctrl-C."""
        self._interrupted_itself = excinfo.type is not KeyboardInterrupt

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Decide; a run in which one of several kernels could not be judged has failed, whatever its tests say."""
        # A worker that has run its tests would end the others' by the line that is the run's last.
        if not hasattr(self._config, "workerinput"):
            self._bad |= self._config.stash[SESSION].some_without_kfuncs()
        self.decide(session)

    def decide(self, session: pytest.Session) -> None:
        """Decide on the status by what is known so far: results.jsonl has it before the very end of the run."""
        session.exitstatus = self.status(int(session.exitstatus))

    def status(self, pytests: int) -> int:
        """The run's status, of which pytest's own, or that of what stopped the run, is all that is known otherwise.

        1 where anything speaks against a kernel, and never else; 4 where a file could not be collected; 3 where
        something could not be told.
        """
        exit_code = pytest.ExitCode
        if pytests == exit_code.USAGE_ERROR or (pytests == exit_code.INTERRUPTED and not self._collection_failed()):
            return pytests
        if self._bad:
            return int(exit_code.TESTS_FAILED)
        if self._uncollected and pytests != EXIT_INFRA:
            return EXIT_USAGE
        if self._infra or output.lost(self._config) or pytests == exit_code.TESTS_FAILED:
            return EXIT_INFRA
        return pytests

    def _collection_failed(self) -> bool:
        return self._uncollected and self._interrupted_itself

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> Generator[None]:
        """What is known of each, as pytest does for failures; and a line for each below pytest's own summary.

        Tests that got no VM since others had not are counted, and no more: their reason stands there already.
        """
        tried = {outcome: _tried(terminalreporter.stats, str(outcome)) for outcome in LETTERS}
        for outcome in LETTERS:
            with _only(terminalreporter.stats, str(outcome), tried[outcome]):
                terminalreporter.summary_failures_combined(
                    str(outcome), outcome.upper(), style=self._config.option.tbstyle
                )
        yield
        for outcome in LETTERS:
            for report in tried[outcome]:
                carried = outcomes.of(report) or {}
                terminalreporter.write(outcome.upper(), red=True)
                terminalreporter.line(f" {report.nodeid} - {carried.get('message', '')}")
            if more := len(terminalreporter.getreports(str(outcome))) - len(tried[outcome]):
                terminalreporter.write(outcome.upper(), red=True)
                terminalreporter.line(f" {more} more, not tried: {ENOUGH} boots in a row had failed")


def _tried(stats: Mapping[str, list[Any]], category: str) -> list[Any]:
    """The reports of this category but for those of tests that another one's boot had decided on."""
    return [report for report in stats.get(category, []) if not _message(report).startswith(NOT_TRIED)]


def _message(report: object) -> str:
    return str((outcomes.of(report) or {}).get("message", ""))


@contextmanager
def _only(stats: dict[str, list[Any]], category: str, reports: list[Any]) -> Iterator[None]:
    """Let pytest see these reports alone while the block lasts."""
    if category not in stats:
        yield
        return
    whole, stats[category] = stats[category], reports
    try:
        yield
    finally:
        stats[category] = whole
