# SPDX-License-Identifier: GPL-2.0-only
"""Each subcommand of scripts/bench ends well, on fake kernels and a fake suite."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from kfunctest import results
from kfunctest.bench import __main__ as bench
from kfunctest.bench.bisect import Bisections
from kfunctest.bench.build import Builds, Cost
from kfunctest.bench.harness import Harness
from kfunctest.bench.kfunc import command as kfunc
from kfunctest.bench.memory import Watched
from kfunctest.bench.mutants import Costs
from kfunctest.kernels import source, spec
from kfunctest.machine import accelerator, capacity
from kfunctest.machine.accelerator import Accelerator
from kfunctest.mutate import building
from kfunctest.results import JudgedKernel, Outcome, Result, Run
from kfunctest.trial.suite import Ended
from tests import fakekernel
from tests.benching import noisy

#: A command line for each subcommand.
FIGURES: dict[str, list[str]] = {
    "bisect": ["--tree", "linux", "--good", "v1", "--bad", "v2"],
    "build": [],
    "flakes": ["1"],
    "harness": [],
    "kfunc": [],
    "memory": [],
    "mutate": [],
}
UNEXPECTED = 1
KERNEL = JudgedKernel(fakekernel.NO_IMAGE.id, "none", "7.9.1", "made by a test", "v7.0", "identified by BTF")


class Suite:
    """Stands in for the suite: its one test has this outcome, or it leaves nothing. ``peak`` is what its VM takes."""

    def __init__(self) -> None:
        self.outcome: Outcome | None = Outcome.PASSED
        self.peak = 0

    def __call__(self, _kernel: str, folder: Path, _words: Sequence[str], _tests: Sequence[str]) -> Ended:
        if not self.outcome:
            return Ended(-9, "Killed", None)
        found = Result("test_a.py::test_usage", KERNEL.id, self.outcome)
        status = int(self.outcome.bad)
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / results.NAME
        run = Run("", "", "tcg", "", (KERNEL,), "", (found,), status=status, planned=((found.test, found.kernel),))
        results.begin(file, run)
        results.write_line(file, "result", found)
        results.end(file, run)
        return Ended(status, "", file)


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Suite:
    """Replace kernels, the accelerator and whatever takes long by fakes."""
    of = source.Source.__new__(source.Source)
    object.__setattr__(of, "words", "7.2")
    suite = Suite()
    cost = Cost(1.0, 1.0)
    monkeypatch.setattr(spec, "resolve", lambda *_, **__: fakekernel.NO_IMAGE)
    monkeypatch.setattr(source, "resolve", lambda *_, **__: of)
    monkeypatch.setattr(building, "recipe", lambda *_: None)
    monkeypatch.setattr(accelerator, "choose", lambda _: Accelerator("tcg", "", 1))
    monkeypatch.setattr(bench, "pytest_suite", lambda _: suite)
    monkeypatch.setattr(bench, "CHECKOUT", tmp_path)
    monkeypatch.setattr(kfunc, "CHECKOUT", tmp_path)
    monkeypatch.setattr(kfunc, "measured", lambda *_: noisy(0.1, 1))
    monkeypatch.setattr(bench, "harness", lambda *_: Harness(whole=True))
    monkeypatch.setattr(bench, "builds", lambda *_: Builds(cost, cost, cost))
    monkeypatch.setattr(bench, "bisections", lambda *_: Bisections("a", "a", 1, 1, 1, 1))
    monkeypatch.setattr(bench, "mutants", lambda *_: Costs(whole=True))
    monkeypatch.setattr(Watched, "__init__", lambda self, _: setattr(self, "peak", suite.peak))
    return suite


def test_every_subcommand_has_a_command_line_here() -> None:
    (figures,) = [action for action in bench._parser()._actions if isinstance(action.choices, dict)]
    assert FIGURES.keys() == set(figures.choices or ())


@pytest.mark.parametrize("name", FIGURES)
def test_a_subcommand_ends_well(name: str, suite: Suite) -> None:
    assert bench.main([name, *FIGURES[name], "--accel", "tcg"]) == 0


@pytest.mark.parametrize("outcome", [None, Outcome.FAILED, Outcome.SKIPPED])
def test_memory_of_a_run_that_is_not_good_is_not_concluded(outcome: Outcome | None, suite: Suite) -> None:
    suite.outcome = outcome
    assert bench.main(["memory"]) == UNEXPECTED


@pytest.mark.parametrize(("more", "status"), [(0, 0), (1, UNEXPECTED)])
def test_memory_beyond_what_is_reckoned_with_is_unexpected(
    more: int, status: int, suite: Suite, capsys: pytest.CaptureFixture[str]
) -> None:
    suite.peak = capacity.OVERHEAD + more
    assert bench.main(["memory"]) == status
    assert "under tcg: 7.9.1 took 512 MiB beyond its own; 512 are reckoned with" in capsys.readouterr().out
