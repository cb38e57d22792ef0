# SPDX-License-Identifier: GPL-2.0-only
"""When a mutant counts as killed: by a test of the right concern that failed by itself, and by nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from kfunctest.mutate.fate import Fate, Row
from kfunctest.mutate.judge import judge
from kfunctest.results import Result
from tests.mutants import OTHER, RIGHT, SECOND, WARNING, PlayedSuite, failed, mutant, passed


def fate(folder: Path, equivalent: str = "", **found: Sequence[Result] | None) -> tuple[Row, PlayedSuite]:
    suite = PlayedSuite(found)
    return judge(mutant(folder, equivalent=equivalent), "/kernel", folder, suite), suite


@pytest.mark.parametrize(
    "result, how",
    [
        (failed(RIGHT), "assertion"),
        (failed(f"{RIGHT}[root-4]"), "assertion"),
        (failed(RIGHT, verifier="R1 must be a rcu pointer"), "verifier message"),
        (failed(RIGHT, splats=(WARNING,)), "splat"),
        (failed(RIGHT, outcome="crashed", splats=(WARNING,)), "crash"),
        (failed(RIGHT, outcome="hung"), "hang"),
        (failed(RIGHT, phase="teardown"), "assertion"),
    ],
)
def test_a_mutant_is_killed_by_an_expected_test_and_it_is_said_by_what(
    tmp_path: Path, result: list[Result], how: str
) -> None:
    row, suite = fate(tmp_path, expected=result)
    assert (row.fate, row.test, row.how, row.message) == (Fate.KILLED, result[0].test, how, "1 page of 4096")
    assert suite.asked == [("/kernel", "expected", ("-x",), (RIGHT, SECOND))], "one VM, the expected tests, and no more"


def test_an_xfailed_test_that_passes_kills_too(tmp_path: Path) -> None:
    row, _ = fate(tmp_path, expected=failed(RIGHT, outcome="xpassed"))
    assert row.fate is Fate.KILLED


@pytest.mark.parametrize("outcome", ["failed", "crashed", "hung", "infra"])
def test_a_fixture_that_dies_kills_nothing(tmp_path: Path, outcome: str) -> None:
    """The others are asked all the same: one of them may need less."""
    dead = failed(RIGHT, phase="setup", outcome=outcome)
    row, suite = fate(tmp_path, expected=dead, again=[*dead, *passed(SECOND)])
    assert (row.fate, suite.runs) == (Fate.INFRA, ["expected", "again"])
    assert RIGHT in row.message, f"expected the message to name {RIGHT}, seen {row.message!r}"


def test_behind_a_fixture_that_dies_another_expected_test_may_kill(tmp_path: Path) -> None:
    dead = failed(RIGHT, phase="setup")
    row, suite = fate(tmp_path, expected=dead, again=[*dead, *failed(SECOND)])
    assert (row.fate, row.test) == (Fate.KILLED, SECOND)
    assert suite.asked[1][2:] == ((), (RIGHT, SECOND)), "the second run must not stop at the first failure"


def test_an_infra_error_in_the_middle_of_a_test_kills_nothing(tmp_path: Path) -> None:
    lost = failed(RIGHT, outcome="infra")
    row, _ = fate(tmp_path, expected=lost, again=lost)
    assert row.fate is Fate.INFRA


def test_where_all_expected_tests_pass_the_rest_is_asked_and_the_mutant_survives(tmp_path: Path) -> None:
    row, suite = fate(tmp_path, expected=passed(RIGHT, SECOND), rest=passed(OTHER))
    assert (row.fate, row.elsewhere) == (Fate.SURVIVED, "")
    words, tests = suite.asked[1][2:]
    assert (words, tests) == (("-x", "--deselect", RIGHT, "--deselect", SECOND), ("selftests",))


def test_a_failure_of_another_concern_is_told_and_kills_nothing(tmp_path: Path) -> None:
    row, _ = fate(tmp_path, expected=passed(RIGHT, SECOND), rest=failed(OTHER))
    assert (row.fate, row.elsewhere) == (Fate.SURVIVED, f"{OTHER}: 1 page of 4096")


def test_a_test_whose_name_only_begins_alike_is_another_one(tmp_path: Path) -> None:
    row, _ = fate(tmp_path, expected=passed(RIGHT), rest=failed(f"{RIGHT}_of_root"))
    assert row.fate is Fate.SURVIVED


@pytest.mark.parametrize("found", [None, []])
def test_a_run_that_left_nothing_is_no_verdict(tmp_path: Path, found: list[Result] | None) -> None:
    row, _ = fate(tmp_path, expected=found)
    assert row.fate is Fate.INFRA
    assert row.message, "expected a line that says why"


def test_a_run_that_was_stopped_is_no_survival(tmp_path: Path) -> None:
    suite = PlayedSuite({"expected": passed(RIGHT)}, stopped="no disk")
    row = judge(mutant(tmp_path), "/kernel", tmp_path, suite)
    assert (row.fate, row.message) == (Fate.INFRA, "no disk")


@pytest.mark.parametrize(
    "rest, expected",
    [
        (passed(RIGHT, OTHER), Fate.EQUIVALENT),
        (failed(OTHER), Fate.SURVIVED),
        (failed(OTHER, phase="setup"), Fate.INFRA),
    ],
)
def test_an_equivalent_mutant_is_held_to_its_argument(tmp_path: Path, rest: list[Result], expected: Fate) -> None:
    """The whole suite is asked: what fails speaks against the argument, not for the suite."""
    row, suite = fate(tmp_path, equivalent="root has no references", rest=rest)
    assert (row.fate, suite.runs) == (expected, ["rest"])
