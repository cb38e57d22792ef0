# SPDX-License-Identifier: GPL-2.0-only
"""``scripts/kfunc --help``: one page with all of our options; pytest's own help for who asks for it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from kfunctest import proc
from kfunctest.plugin.__main__ import PYTEST_HELP, SUITE, WIDTH, main, page

CHECKOUT = Path(__file__).resolve().parents[1]
#: Lines of a terminal window that somebody made a bit larger.
A_PAGE = 60
EXAMPLES = 5


def options(text: str) -> set[str]:
    """The names of the options that a help text explains."""
    return set(re.findall(r"^  (--[a-z-]+)", text, re.MULTILINE))


@pytest.fixture(scope="module")
def pytests() -> str:
    """What pytest itself shows, with our plugin in it."""
    return proc.run([sys.executable, "-m", "kfunctest.plugin", PYTEST_HELP], seconds=60, cwd=CHECKOUT).stdout


def test_the_page_has_each_option_that_pytest_gets_from_us(pytests: str) -> None:
    ours = re.search(r"^kfunctest:\n(.*?)^\S", pytests, re.MULTILINE | re.DOTALL)
    assert ours
    assert options(page()) - {"--collect-only", PYTEST_HELP} == options(ours[1])
    assert "--kernel" in options(page())


def test_the_page_is_one(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the terminal's width, and whatever stands beside --help."""
    monkeypatch.setenv("COLUMNS", "40")
    assert main(["--kernel", "no-such-kernel", "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= A_PAGE
    assert max(map(len, lines)) <= WIDTH
    examples = lines[lines.index("Examples:") + 1 :][:EXAMPLES]
    assert all(line.startswith("  scripts/kfunc") for line in examples), examples


def test_pytests_own_help_is_there_for_who_asks(pytests: str) -> None:
    assert "--stepwise" in pytests
    assert "--stepwise" not in page()


def test_what_follows_two_dashes_is_no_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pytest, "main", len)
    assert main(["-x", "--", "--help"]) == len(SUITE) + 3
