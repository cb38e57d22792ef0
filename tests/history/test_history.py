# SPDX-License-Identifier: GPL-2.0-only
"""Bisections of a real kernel's history, of 200 commits: each time the same culprit."""

from __future__ import annotations

from pathlib import Path

import pytest

from kfunctest.bisect.options import GOOD
from tests.history import linux
from tests.history.running import Ended, bisect, kill_after

pytestmark = pytest.mark.history


def assert_found(ended: Ended) -> None:
    assert ended.culprit == "c137", ended.text
    assert ended.status == GOOD, ended.text
    assert ended.data["confirmed"], ended.text
    assert ended.data["evidence"]["test"] == linux.TEST


def test_the_culprit_is_found_and_most_commits_are_not_built(tmp_path: Path) -> None:
    """Among a range that does not build, one that does not boot, and a merge."""
    ended = bisect(linux.made("whole"), tmp_path)
    assert_found(ended)
    steps = ended.data["steps"]
    assert sum(bool(step["same_as"]) for step in steps) >= len(steps) / 3, ended.text
    assert {step["verdict"] for step in steps} >= {"good", "bad", "untestable"}, ended.text


def test_killed_in_the_middle_it_goes_on(tmp_path: Path) -> None:
    of = linux.made("whole")
    kill_after(3, of, tmp_path, "--tries", "1")
    ended = bisect(of, tmp_path, "--tries", "1")
    assert_found(ended)
    assert ended.data["recalled"] >= 3


def test_a_good_end_that_is_bad_is_told_and_the_culprit_is_found_before_it(tmp_path: Path) -> None:
    ended = bisect(linux.made("whole"), tmp_path, good="~40")
    assert_found(ended)
    assert ended.data["replaced_good"], ended.text


def test_what_fails_in_every_second_boot_is_found(tmp_path: Path) -> None:
    ended = bisect(linux.made("flaky"), tmp_path, "--tries", "7")
    assert_found(ended)
    assert ended.data["ends"]["bad"] < ended.data["ends"]["runs"], "seven boots in a row were bad: run it again"
