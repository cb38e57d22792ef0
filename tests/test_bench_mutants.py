# SPDX-License-Identifier: GPL-2.0-only
"""What scripts/bench mutate compares with what."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from kfunctest.bench import mutants as bench
from kfunctest.bench.mutants import Bench, Cost, Costs
from kfunctest.errors import InfraError
from kfunctest.kernels import build, patches
from kfunctest.kernels.build import Recipe
from kfunctest.mutate import building
from kfunctest.trial.log import Log
from kfunctest.trial.work import LOG
from tests.mutants import RIGHT, PlayedSuite, failed, mutant, passed

#: What is played to take so many seconds.
MAKE, BUILD, VERDICT = 20.0, 22.0, 8.0


class Played:
    """A machine on which only what is named here takes time; ``done`` is what was done, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.done = 1000.0, list[str]()
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(patches, "read", lambda _: ())
        monkeypatch.setattr(build, "forget", lambda _: self.done.append("forget"))
        monkeypatch.setattr(build, "build", lambda *_: self.done.append("base"))
        monkeypatch.setattr(building, "builder", lambda _: lambda _: self.takes(BUILD, "build"))
        monkeypatch.setattr(Bench, "_make", lambda *_: self.makes())

    def takes(self, seconds: float, what: str) -> str:
        self.now += seconds
        self.done.append(what)
        return what

    def makes(self) -> float:
        self.takes(MAKE, "make")
        return MAKE

    def suite(self, found: PlayedSuite) -> Callable[..., object]:
        def judge(*words: object) -> object:
            self.takes(VERDICT, "judge")
            return found(*words)  # type: ignore[arg-type]

        return judge


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Played:
    return Played(monkeypatch)


def measured(played: Played, folder: Path, suite: PlayedSuite) -> Costs:
    base = Recipe.__new__(Recipe)
    for name in ("patches", "flavours"):
        object.__setattr__(base, name, ())
    object.__setattr__(base, "source", None)
    object.__setattr__(base, "contract", None)
    told: list[str] = []
    of = Bench(base, played.suite(suite), folder)  # type: ignore[arg-type]
    return bench.mutants(of, [mutant(folder)], Log(folder / LOG), told.append)


def test_build_and_verdict_are_set_against_make_alone(played: Played, tmp_path: Path) -> None:
    """Both begin from a kernel without the mutation, and neither pays for that one."""
    costs = measured(played, tmp_path, PlayedSuite({"expected": failed(RIGHT)}))
    assert costs.whole
    assert costs.found == [Cost(BUILD, VERDICT, MAKE)]
    assert played.done == ["base", "forget", "make", "build", "judge", "make", "make"]
    assert "takes 1.50 times as long as make alone" in costs.report()[0]


def test_a_figure_that_is_in_the_log_is_not_measured_again(played: Played, tmp_path: Path) -> None:
    Log(tmp_path / LOG).add(cost=asdict(Cost(1, 2, 3)))
    assert measured(played, tmp_path, PlayedSuite({})).found == [Cost(1, 2, 3)]
    assert played.done == ["base"]


def test_a_mutant_that_lives_is_no_figure(played: Played, tmp_path: Path) -> None:
    with pytest.raises(InfraError, match="usage-pages survived"):
        measured(played, tmp_path, PlayedSuite({"expected": passed(RIGHT), "rest": passed(RIGHT)}))


def test_the_median_is_what_counts() -> None:
    costs = Costs([Cost(20, 10, 10), Cost(10, 10, 10), Cost(70, 20, 10)])
    assert costs.report() == [
        "a mutant, its build and its verdict together, takes 3.00 times as long as make alone does for its change "
        "(median of 3, from 2.00 to 9.00); the verdict 1.00"
    ]
    assert Costs().report() == ["nothing was measured"]
