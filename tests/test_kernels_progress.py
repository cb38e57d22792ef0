# SPDX-License-Identifier: GPL-2.0-only
"""A person sees a bar move, a log gets one line at start and end."""

from __future__ import annotations

import io
import re
import time

import pytest

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


def test_a_log_of_a_build_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10_000, 10))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    stream = io.StringIO()
    with Progress(stream).steps("building 7.9-slim", 1500, "objects") as report:
        for done in range(10):
            report(done)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "building 7.9-slim ..."
    assert 2 <= len(lines[1:-1]) <= 5
    says = r"building 7\.9-slim: \d of about 1500 objects, about \d+ min left"
    assert all(re.fullmatch(says, line) for line in lines[1:-1])
    assert re.fullmatch(r"building 7\.9-slim: done in \d+ s", lines[-1])


def test_a_log_of_a_build_says_how_long_it_may_take(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long for each object as for those of this run: the first 500 were there before it."""
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    stream = io.StringIO()
    with Progress(stream).steps("building 7.9-slim", 1500, "objects") as report:
        for now, done in ((1001.0, 501), (1100.0, 600), (1200.0, 1440), (1300.0, 1501)):  # noqa: B007
            report(done)
    assert stream.getvalue().splitlines()[1:-1] == [
        "building 7.9-slim: 600 of about 1500 objects, about 15 min left",
        "building 7.9-slim: 1440 of about 1500 objects, less than a minute left",
        "building 7.9-slim: 1501 objects",
    ]


@pytest.mark.parametrize("expected", [1500, 500, None])
def test_a_terminal_of_a_build_gets_a_bar_that_ends_full_whatever_was_expected(expected: int | None) -> None:
    stream = Terminal()
    with Progress(stream).steps("building 7.9-slim", expected, "objects") as report:
        report(750)
    last = stream.getvalue().split("\r")[-1]
    done = min(750, expected or 750)
    assert re.match(rf"building 7\.9-slim: 100%\|.*\| {done}/{done} ", last), last


def test_a_build_that_fails_is_not_called_done() -> None:
    stream = io.StringIO()
    try:
        with Progress(stream).steps("building", 3, "objects"):
            raise OSError
    except OSError:
        pass
    assert "done" not in stream.getvalue()
