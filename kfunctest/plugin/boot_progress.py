# SPDX-License-Identifier: GPL-2.0-only
"""Telling a person that a kernel boots, which takes half a minute under emulation. Reports hold nothing of it."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import pytest

#: Seconds of silence after which a CI's log gets a line.
LONG = 10.0


@contextmanager
def booting(config: pytest.Config, release: str) -> Iterator[None]:
    """While the block lasts a terminal shows that ``release`` boots; where CI is set, a line says so if it lasts."""
    if hasattr(config, "workerinput"):  # has no terminal
        yield
        return
    line = f" booting {release} ..."
    shown = _on_terminal(config, line)
    timer = threading.Timer(LONG, _in_log, [config, line.strip()])
    if not shown and os.environ.get("CI", "false") not in ("", "false", "0"):
        timer.start()
    try:
        yield
    finally:
        timer.cancel()
        if shown:  # steps back, whatever stood before it in its line
            _on_terminal(config, "\b" * len(line) + " " * len(line) + "\b" * len(line))


def _on_terminal(config: pytest.Config, text: str) -> bool:
    """Write to standard error, which pytest captures, if that is a terminal. Returns whether it is."""
    capture = config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled() if capture else nullcontext():
        if not sys.stderr.isatty():
            return False
        sys.stderr.write(text)
        sys.stderr.flush()
        return True


def _in_log(config: pytest.Config, line: str) -> None:
    if reporter := config.pluginmanager.getplugin("terminalreporter"):
        reporter.ensure_newline()
        reporter.write_line(line, flush=True)
