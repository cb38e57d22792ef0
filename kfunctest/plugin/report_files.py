# SPDX-License-Identifier: GPL-2.0-only
"""What a run leaves for others to read: its reports, and what GitHub Actions shows where that runs it."""

from __future__ import annotations

import argparse
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from kfunctest.results import Run

#: Set to "true" by GitHub Actions; and where it takes a step's summary from.
GITHUB, STEP_SUMMARY = "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"


def add_options(group: pytest.OptionGroup) -> None:
    """Declare what reports may be told."""
    group.addoption(
        "--kcidb-origin",
        type=_origin,
        default="kfunctest",
        metavar="NAME",
        help="the name that KCIDB knows your CI system by, for kcidb.json (default: kfunctest)",
    )


def _origin(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9_]+", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no origin: lower-case letters, digits and _ only")
    return text


def write(run: Run, folder: Path, config: pytest.Config) -> None:
    """Write every report into the run's folder, and the step's summary. Raises OSError."""
    from kfunctest.reports import github, write

    write.everything(run, folder, config.getoption("kcidb_origin"))
    if (summary := os.environ.get(STEP_SUMMARY)) and _on_github():
        with Path(summary).open("a", encoding="utf-8") as out:
            out.write(github.summary(run))


def for_github(run: Run) -> Iterator[str]:
    """Lines that GitHub Actions turns into annotations; none elsewhere."""
    from kfunctest.reports import github

    if _on_github():
        yield from github.errors(run)


class Commands:
    """A plugin that lets GitHub Actions obey our lines alone: it reads a step's whole output for its commands.

    What a test, a kernel or a program writes there could otherwise annotate, hide or set whatever it likes
    (docs.github.com/actions/reference/workflow-commands-for-github-actions, "Stopping and starting workflow commands").
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        #: The word that makes GitHub listen again; empty while it listens.
        self._word = ""

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Before anything of the tests is imported."""
        if reporter := self._config.pluginmanager.getplugin("terminalreporter"):
            self._deafen(reporter)

    def obeyed(self, reporter: pytest.TerminalReporter, lines: Iterable[str]) -> None:
        """Write commands of ours."""
        if commands := list(lines):
            self._wake(reporter)
            for line in commands:
                reporter.write_line(line)
            self._deafen(reporter)

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """What follows in the step may speak to GitHub again."""
        if reporter := self._config.pluginmanager.getplugin("terminalreporter"):
            self._wake(reporter)

    def _deafen(self, reporter: pytest.TerminalReporter) -> None:
        if _on_github() and not self._word:
            self._word = secrets.token_hex(16)
            reporter.write_line(f"::stop-commands::{self._word}")

    def _wake(self, reporter: pytest.TerminalReporter) -> None:
        if self._word:
            reporter.ensure_newline()
            reporter.write_line(f"::{self._word}::")
            self._word = ""


def _on_github() -> bool:
    return os.environ.get(GITHUB) == "true"
