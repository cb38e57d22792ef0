# SPDX-License-Identifier: GPL-2.0-only
"""A person sees a bar move, a log gets one line at start and end."""

from __future__ import annotations

import io
import re

from kfunctest.kernels.progress import Progress


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def test_a_log_gets_a_line_at_start_and_one_at_the_end() -> None:
    stream = io.StringIO()
    with Progress(stream).transfer("Linux 7.9", 120_000_000) as report:
        for done in range(0, 120_000_000, 1_000_000):
            report(done)
    first, last = stream.getvalue().splitlines()
    assert first == "Linux 7.9: 120 MB ..."
    assert re.fullmatch(r"Linux 7\.9: done in \d+ s", last)


def test_a_terminal_gets_a_bar_that_ends_full() -> None:
    stream = Terminal()
    with Progress(stream).transfer("Linux 7.9", 120_000_000) as report:
        report(30_000_000)
        report(130_000_000)  # apt counts its lists too
    assert "Linux 7.9:   0%" in stream.getvalue()
    assert "Linux 7.9: 100%" in stream.getvalue().split("\r")[-1]


def test_a_transfer_that_fails_is_not_called_done() -> None:
    stream = io.StringIO()
    try:
        with Progress(stream).transfer("Linux 7.9", 1_000_000):
            raise OSError
    except OSError:
        pass
    assert "done" not in stream.getvalue()
