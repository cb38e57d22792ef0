# SPDX-License-Identifier: GPL-2.0-only
"""The last line of a run that went to its end and yet has told little of a kernel: why, and what to do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import pytest

from kfunctest.errors import EXIT_INFRA
from kfunctest.plugin import collect, outcomes
from kfunctest.plugin.boots import NOT_TRIED
from kfunctest.plugin.ending import Ending, Stop
from kfunctest.results import Outcome

#: So many tests with one fault of the machine's are worth a line of their own.
MANY = 3


class Closing:
    """A plugin of the process that has the terminal."""

    def __init__(self, config: pytest.Config, ending: Ending) -> None:
        self._config = config
        self._ending = ending
        #: The tests that ended as infra, by what their messages say.
        self._infra: defaultdict[str, set[str]] = defaultdict(set)
        #: Markers of tests that were left out.
        self._left_out: set[str] = set()

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Remember what runs on request only."""
        for name in collect.ON_REQUEST:
            if any(item.get_closest_marker(name) for item in items):
                self._left_out.add(name)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember what the machine is blamed for."""
        carried = outcomes.of(report)
        if carried and carried["outcome"] == Outcome.INFRA:
            self._infra[carried["message"].removeprefix(NOT_TRIED)].add(report.nodeid)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Say it, once the status is decided on."""
        nothing = pytest.ExitCode.NO_TESTS_COLLECTED
        if session.exitstatus == nothing and collect.may_ask_for_a_kernel(self._config):
            self._ending.add(Stop(self._nothing_selected(), int(nothing)))
        reason = max(self._infra, key=lambda reason: len(self._infra[reason]), default="")
        if (count := len(self._infra.get(reason, ()))) >= MANY:
            self._ending.add(Stop(f"{count} tests were not judged, for one reason: {reason}", EXIT_INFRA))

    def _nothing_selected(self) -> str:
        given = (("-k", self._config.option.keyword), ("-m", self._config.option.markexpr))
        words = [f"{option} {text!r}" for option, text in given if text]
        on_request = [f"-m {name}" for name in collect.ON_REQUEST if name in self._left_out]
        only = f"; some run only where they are asked for: {', '.join(on_request)}" if on_request else ""
        return (
            f"no test was selected by {' and '.join(words) or 'these paths'}; "
            f"scripts/kfunc --collect-only -q lists their names{only}"
        )
