# SPDX-License-Identifier: GPL-2.0-only
"""How scripts/mutate goes through many mutants: one ahead, whatever happens to one, and on from where it was."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from kfunctest.errors import EXIT_USAGE, InfraError, SpecError
from kfunctest.mutate import __main__ as command
from kfunctest.mutate import building, catalogue, record
from kfunctest.mutate.catalogue import Mutant
from kfunctest.mutate.fate import Fate, Row
from kfunctest.mutate.pipeline import Pipeline
from kfunctest.trial import digest
from kfunctest.trial.log import Log
from kfunctest.trial.suite import Ended, Suite
from tests.killing import killed
from tests.mutants import RIGHT, SECOND, PlayedSuite, failed, mutant, passed

KILLED = {"expected": failed(RIGHT)}
SECONDS = 20.0


def test_the_next_one_is_built_while_one_is_judged(tmp_path: Path) -> None:
    """And no more than the next one: what is built long before it is judged fills the disk for nothing."""
    built: list[str] = []
    second = threading.Event()

    def build(one: Mutant) -> str:
        built.append(one.id)
        if one.id == "b":
            second.set()
        return one.id

    suite = PlayedSuite(KILLED)

    def waiting(kernel: str, folder: Path, words: tuple[str, ...], tests: tuple[str, ...]) -> object:
        if kernel == "a":
            assert second.wait(SECONDS), "b was not built while a was judged"
            assert built == ["a", "b"]
        return suite(kernel, folder, words, tests)

    mutants = [mutant(tmp_path, name) for name in "abc"]
    rows = list(Pipeline(tmp_path, build, waiting).rows(mutants))  # type: ignore[arg-type]
    assert [row.fate for row in rows] == [Fate.KILLED] * 3
    assert [kernel for kernel, *_ in suite.asked] == built == ["a", "b", "c"]


@pytest.mark.parametrize(
    "error, expected",
    [
        (SpecError("mm/memcontrol.c:7: no semicolon"), Fate.NOT_BUILT),
        (InfraError("the compiler was killed"), Fate.INFRA),
        (OSError(28, "the disk is full"), Fate.INFRA),
    ],
)
def test_one_that_cannot_be_built_is_told_and_the_next_one_is_judged(
    tmp_path: Path, error: Exception, expected: Fate
) -> None:
    def build(one: Mutant) -> str:
        if one.id == "a":
            raise error
        return one.id

    suite = PlayedSuite(KILLED)
    first, then = Pipeline(tmp_path, build, suite).rows([mutant(tmp_path, name) for name in "ab"])
    assert (first.fate, then.fate) == (expected, Fate.KILLED)
    assert first.message in str(error) or str(error) in first.message
    assert [kernel for kernel, *_ in suite.asked] == ["b"], "what was not built is not judged"


Play = Callable[..., int]


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Play:
    """Runs the command on mutants a, b and c, with a builder and a suite that are played; returns its status."""
    mutants = {name: mutant(tmp_path, name) for name in "abc"}

    def run(suite: PlayedSuite, *argv: str) -> int:
        def suites(_seconds: float) -> Suite:
            return suite

        monkeypatch.setattr(catalogue, "load", lambda: mutants)
        monkeypatch.setattr(building, "recipe", lambda _mirror, _progress: None)
        monkeypatch.setattr(building, "builder", lambda _recipe: lambda one: one.id)
        monkeypatch.setattr(command, "pytest_suite", suites)
        monkeypatch.setattr(digest, "of_suite", lambda: "1")
        return command.main([*argv, "--results", str(tmp_path / "results")])

    return run


def test_all_killed_is_status_0_and_the_matrix_says_by_what(
    play: Play, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert play(PlayedSuite(KILLED)) == 0
    text = (tmp_path / "results" / record.TEXT).read_text()
    assert text in capsys.readouterr().out
    assert f"by assertion in {RIGHT}: 1 page of 4096" in text
    assert text.splitlines()[-1] == "3 mutants: 3 killed (3 by assertion)"


def test_a_survivor_is_status_1(play: Play) -> None:
    survivor = {"expected": passed(RIGHT, SECOND), "rest": passed(RIGHT)}
    assert play(PlayedSuite(survivor), "a") == 1


def test_what_could_not_be_judged_is_status_2(play: Play) -> None:
    assert play(PlayedSuite({"expected": None}), "a") == 2


def test_an_unknown_name_is_status_4_and_the_classes_are_told(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    assert play(PlayedSuite({}), "nonsense") == EXIT_USAGE
    assert "aggregation" in capsys.readouterr().err


def test_a_class_is_all_of_its_mutants(play: Play) -> None:
    suite = PlayedSuite(KILLED)
    play(suite, "unit")
    assert [kernel for kernel, *_ in suite.asked] == ["a", "b", "c"]


def test_a_run_goes_on_from_what_was_judged(play: Play) -> None:
    play(PlayedSuite(KILLED), "a")
    suite = PlayedSuite(KILLED)
    assert play(suite) == 0
    assert [kernel for kernel, *_ in suite.asked] == ["b", "c"]


@pytest.mark.parametrize("at", [1, 2, 3])
def test_killed_at_any_mutant_it_ends_as_if_it_was_not(play: Play, tmp_path: Path, at: int) -> None:
    class Killed(PlayedSuite):
        def __call__(self, *words: Any) -> Ended:
            ended = super().__call__(*words)
            if len(self.asked) == at:
                os.kill(os.getpid(), signal.SIGKILL)
            return ended

    killed(lambda: play(Killed(KILLED)))
    shutil.rmtree(tmp_path / "results" / "abc"[at - 1])  # played runs need a folder of their own
    suite = PlayedSuite(KILLED)
    assert play(suite) == 0
    assert [kernel for kernel, *_ in suite.asked] == list("abc")[at - 1 :]
    assert (tmp_path / "results" / record.TEXT).read_text().endswith("3 mutants: 3 killed (3 by assertion)\n")


@pytest.mark.parametrize("option", ["--fresh", "--anew"])
def test_a_fresh_run_judges_all_of_them_again(play: Play, tmp_path: Path, option: str) -> None:
    play(PlayedSuite(KILLED), "a")
    again = tmp_path / "results" / "a"
    again.rename(again.with_name("earlier"))  # played runs need a folder of their own
    suite = PlayedSuite(KILLED)
    play(suite, "a", option)
    assert [kernel for kernel, *_ in suite.asked] == ["a"]


def row(one: Mutant, fate: Fate, suite: str = "1") -> Row:
    return Row(one.id, fate, key=one.key, suite=suite)


def test_a_killed_one_stays_killed_whatever_else_the_suite_gains(tmp_path: Path) -> None:
    one = mutant(tmp_path)
    kept = {one.id: row(one, Fate.KILLED)}
    assert record.known(kept, one, "2") == kept[one.id]


@pytest.mark.parametrize("fate", [Fate.SURVIVED, Fate.EQUIVALENT])
def test_another_suite_judges_again_what_survived(tmp_path: Path, fate: Fate) -> None:
    one = mutant(tmp_path)
    kept = {one.id: row(one, fate)}
    assert record.known(kept, one, "1") == kept[one.id]
    assert record.known(kept, one, "2") is None


@pytest.mark.parametrize("fate", [Fate.INFRA, Fate.NOT_BUILT])
def test_what_told_nothing_is_sought_again(tmp_path: Path, fate: Fate) -> None:
    one = mutant(tmp_path)
    assert record.known({one.id: row(one, fate)}, one, "1") is None


def test_another_patch_or_other_expected_tests_make_another_mutant(tmp_path: Path) -> None:
    one = mutant(tmp_path)
    kept = {one.id: row(one, Fate.KILLED)}
    assert record.known(kept, replace(one, expected=(RIGHT,)), "1") is None
    one.patch.write_text("--- another\n")
    assert record.known(kept, one, "1") is None


def test_a_line_that_a_killed_run_left_torn_is_passed_over(tmp_path: Path) -> None:
    one = mutant(tmp_path)
    file = tmp_path / record.NAME
    Log(file).add(**asdict(row(one, Fate.KILLED)))
    with file.open("a") as out:
        out.write('{"id": "b", "fate": "kil')
    assert record.read(Log(file)) == {one.id: row(one, Fate.KILLED)}
