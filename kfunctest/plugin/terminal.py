# SPDX-License-Identifier: GPL-2.0-only
"""What the terminal says of crashed, hung and infra, which pytest has no words for."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from kfunctest.plugin import test_result
from kfunctest.plugin.boot_failures import ENOUGH
from kfunctest.results import Outcome

#: The letter of a phase that ended so; its section of the terminal is headed by the name.
LETTERS = {Outcome.CRASHED: "C", Outcome.HUNG: "H", Outcome.INFRA: "I"}


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
    """Category, letter and word."""
    phase = test_result.of(report)
    if phase is None or phase.outcome not in LETTERS:
        return None
    if report.when == "teardown" and phase.again:
        return "", "", ("", {})
    return str(phase.outcome), LETTERS[phase.outcome], (phase.outcome.upper(), {"red": True})


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> Generator[None]:
    """What is known of each, as pytest does for failures; and a line for each below pytest's own summary.

    Tests whose boot was not tried are counted, and no more: their reason stands there already.
    """
    tried = {outcome: _tried(terminalreporter.stats, str(outcome)) for outcome in LETTERS}
    for outcome in LETTERS:
        with _only(terminalreporter.stats, str(outcome), tried[outcome]):
            terminalreporter.summary_failures_combined(str(outcome), outcome.upper(), style=config.option.tbstyle)
    yield
    for outcome in LETTERS:
        for report in tried[outcome]:
            phase = test_result.of(report)
            terminalreporter.write(outcome.upper(), red=True)
            terminalreporter.line(f" {report.nodeid} - {phase.message if phase else ''}")
        if more := len(terminalreporter.getreports(str(outcome))) - len(tried[outcome]):
            terminalreporter.write(outcome.upper(), red=True)
            terminalreporter.line(f" {more} more, not tried: {ENOUGH} boots in a row had failed")


def _tried(stats: Mapping[str, list[Any]], category: str) -> list[Any]:
    """The reports of this category but for those of tests whose boot was not tried."""
    return [report for report in stats.get(category, []) if not ((phase := test_result.of(report)) and phase.untried)]


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
