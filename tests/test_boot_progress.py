# SPDX-License-Identifier: GPL-2.0-only
"""Who waits for a boot is told: on a terminal while it lasts, in a CI's log if it lasts long, nowhere else."""

from __future__ import annotations

import io
import time
from types import SimpleNamespace
from typing import cast

import pytest

from kfunctest.plugin import boot_progress


class Stream(io.StringIO):
    """Standard error, a terminal or none."""

    terminal = True

    def isatty(self) -> bool:
        """As told."""
        return self.terminal


class Reporter:
    """What pytest's terminal reporter would have written."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def ensure_newline(self) -> None:
        """Nothing was written before."""

    def write_line(self, line: str, *, flush: bool) -> None:
        """Keep it."""
        self.lines.append(line)


def config(reporter: Reporter, **more: object) -> pytest.Config:
    plugins = SimpleNamespace(getplugin={"terminalreporter": reporter}.get)
    return cast("pytest.Config", SimpleNamespace(pluginmanager=plugins, **more))


def replaced(monkeypatch: pytest.MonkeyPatch) -> Stream:
    """Another standard error, from within a test: pytest gives each phase its own."""
    stream = Stream()
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setattr(boot_progress, "LONG", 0.02)
    monkeypatch.delenv("CI", raising=False)
    return stream


def test_a_terminal_shows_it_and_forgets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = replaced(monkeypatch)
    reporter = Reporter()
    with boot_progress.booting(config(reporter), "7.9.1"):
        assert stderr.getvalue() == " booting 7.9.1 ..."
    told = len(" booting 7.9.1 ...")
    assert stderr.getvalue()[told:] == "\b" * told + " " * told + "\b" * told
    assert reporter.lines == []


@pytest.mark.parametrize(
    ("ci", "seconds", "lines"),
    [("true", 0.3, ["booting 7.9.1 ..."]), ("true", 0, []), ("false", 0.3, []), (None, 0.3, [])],
    ids=["long", "short", "CI=false", "no CI"],
)
def test_a_log_of_a_ci_gets_a_line_if_it_lasts(
    monkeypatch: pytest.MonkeyPatch, ci: str | None, seconds: float, lines: list[str]
) -> None:
    stderr = replaced(monkeypatch)
    stderr.terminal = False
    if not seconds:
        monkeypatch.setattr(boot_progress, "LONG", 600.0)
    if ci:
        monkeypatch.setenv("CI", ci)
    reporter = Reporter()
    with boot_progress.booting(config(reporter), "7.9.1"):
        time.sleep(seconds)
    assert reporter.lines == lines
    assert stderr.getvalue() == ""


def test_a_worker_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = replaced(monkeypatch)
    with boot_progress.booting(config(Reporter(), workerinput={}), "7.9.1"):
        pass
    assert stderr.getvalue() == ""
