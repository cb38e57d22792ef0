# SPDX-License-Identifier: GPL-2.0-only
"""``-n 2`` finds what ``-n 0`` finds: the whole suite, on the same kernel, test by test."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kfunctest.results import Outcome, Result, Run
from tests.targets.sameness import differences
from tests.targets.suite import KERNEL, judge


@pytest.mark.targets
def test_two_workers_find_what_one_process_finds(tmp_path: Path) -> None:
    alone = judge(tmp_path / "alone", "--kernel", KERNEL, "-n", "0")
    shared = judge(tmp_path / "shared", "--kernel", KERNEL, "-n", "2")
    assert alone.status == shared.status == 0, alone.text[-3000:] + shared.text[-3000:]
    assert differences(alone.run, shared.run) == []
    assert len(alone.run.results) > 90
    assert {result.worker for result in alone.run.results} == {""}
    assert {result.worker for result in shared.run.results} == {"gw0", "gw1"}


def a_run(*results: Result) -> Run:
    return Run("", "", "tcg", "", (), results=results, status=0)


ONE, TWO = (Result(name, "7.2", Outcome.PASSED, seconds=1.0) for name in ("one", "two"))


def test_order_and_times_are_no_difference() -> None:
    assert differences(a_run(ONE, TWO), a_run(replace(TWO, seconds=9.0, worker="gw1"), ONE)) == []


@pytest.mark.parametrize(
    "other",
    [(ONE,), (ONE, replace(TWO, outcome=Outcome.FAILED)), (ONE, replace(TWO, kernel="7.3"))],
    ids=["missing", "failed", "another kernel"],
)
def test_a_difference_is_seen(other: tuple[Result, ...]) -> None:
    assert any(line.startswith("two on 7.2: ('passed'") for line in differences(a_run(ONE, TWO), a_run(*other)))
