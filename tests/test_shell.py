# SPDX-License-Identifier: GPL-2.0-only
"""Every command ends in one line with a status of its own, and says what it has done so far."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kfunctest import shell
from kfunctest.errors import InfraError, SpecError

CHECKOUT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("name", shell.STATUSES)
@pytest.mark.parametrize(
    "error, status, said",
    [
        (lambda: SpecError("no such kernel", remedy="name another"), "usage", "no such kernel; name another"),
        (lambda: InfraError("the disk is full", evidence="df\n"), "infra", "the disk is full"),
        (lambda: OSError(28, "No space left on device"), "infra", "[Errno 28] No space left on device"),
        (lambda: KeyboardInterrupt(), "interrupted", "interrupted"),
        (lambda: ZeroDivisionError("a fault of ours"), "infra", ""),
    ],
)
def test_no_end_but_a_verdict_has_the_status_of_one(
    capsys: pytest.CaptureFixture[str], name: str, error: Callable[[], BaseException], status: str, said: str
) -> None:
    def work() -> int:
        with shell.resumable("the same command goes on"):
            raise error()

    found = shell.run(name, work)
    assert found == getattr(shell.STATUSES[name], status)
    assert found not in (0, 1)
    *before, last = capsys.readouterr().err.splitlines()
    if said:
        assert last == f"{name}: {said}; the same command goes on"
        assert before == (["df"] if said == "the disk is full" else [])
    else:
        assert "ZeroDivisionError: a fault of ours" in before


def test_the_verdict_is_the_commands_own() -> None:
    assert [shell.run("gate", lambda status=status: status) for status in (0, 1)] == [0, 1]  # type: ignore[misc]


def test_arguments_behind_two_dashes_are_pytests() -> None:
    assert shell.split(["a", "--", "-k", "--"]) == (["a"], ["-k", "--"])
    assert shell.split(["a"]) == (["a"], [])


@pytest.mark.parametrize("terminal", [True, False])
def test_steps_are_numbered_and_a_terminal_gets_an_estimate(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    steps = shell.Steps(4)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    for took in (0.1, 60.0, 180.0, 60.0):  # the first is taken over
        now += took
        steps.done("ended")
    left = [["  about 2 min left"], ["  about 2 min left"]] if terminal else [[], []]
    expected = ["[1/4] ended", "[2/4] ended", *left[0], "[3/4] ended", *left[1], "[4/4] ended"]
    assert capsys.readouterr().out.splitlines() == expected


def test_the_page_has_every_status() -> None:
    page = (CHECKOUT / "docs" / "exit-status.md").read_text()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| `")]
    found = {row[0].strip("`"): tuple(row[2:]) for row in rows}
    expected = {name: (str(one.usage), str(one.infra), str(one.interrupted)) for name, one in shell.STATUSES.items()}
    assert found == expected | {"kfunc": found["kfunc"]}
