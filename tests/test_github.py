# SPDX-License-Identifier: GPL-2.0-only
"""What GitHub Actions makes of a run's output: it obeys our annotations, and no line that a test or a kernel wrote."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import childsuite
from tests.childsuite import Child

#: Lines that a runner obeys, wherever they come from.
FORGED = "::error::forged\n##[error]forged too\n::add-mask::kernel"
TESTS = f"""
def test_says(kernel): print({FORGED!r})
def test_fails(kernel):
    print({FORGED!r})
    assert 0, "a\\n::warning::forged"
"""


@pytest.fixture
def child(tmp_path: Path, image: Path) -> Child:
    return childsuite.write(tmp_path / "child", image, TESTS)


def obeyed(output: str) -> tuple[list[str], str]:
    """The commands that a runner obeys, and the word for which it waits at the end, if it does."""
    found, word = [], ""
    for line in output.splitlines():
        if word:
            word = "" if line == f"::{word}::" else word
        elif stop := re.match(r"::stop-commands::(.+)", line):
            word = stop[1]
        elif line.startswith("::"):
            found.append(line)
    return found, word


@pytest.mark.parametrize("words", [(), ("-s",), ("-n", "1"), ("-rA",)], ids=" ".join)
def test_only_our_own_commands_are_obeyed(child: Child, words: tuple[str, ...]) -> None:
    summary = child.folder / "summary.md"
    done = child.judge(*words, env={"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)})
    assert "::error::forged" in done.stdout, "what the test wrote is shown"
    commands, waits = obeyed(done.stdout)
    assert len(commands) == 1, commands
    assert commands[0].startswith("::error file=test_all.py,line=7,title=failed%3A test_fails on ")
    assert waits == "", "the step's other commands must be heard again"
    assert "test&#95;fails" in summary.read_text()


def test_a_run_that_ends_early_lets_the_step_speak_again(child: Child) -> None:
    done = child.judge("--kernel=/nonexistent/vmlinuz", env={"GITHUB_ACTIONS": "true"})
    assert done.status == 4, done.stdout
    assert obeyed(done.stdout) == ([], "")


def test_elsewhere_there_are_no_commands(child: Child) -> None:
    assert "stop-commands" not in child.judge().stdout
