# SPDX-License-Identifier: GPL-2.0-only
"""Trials are logged before anything is concluded from them, and a killed command goes on from its log."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kfunctest.bench import harness
from kfunctest.bench.flakes import Manner, flakes
from kfunctest.errors import InfraError
from kfunctest.gate import command as gate
from kfunctest.gate import record
from kfunctest.gate.baseline import Baseline
from kfunctest.kernels import spec
from kfunctest.kernels.model import Kernel
from kfunctest.kernels.named import Named
from kfunctest.machine import host_checks
from kfunctest.machine.accelerator import Accelerator
from kfunctest.trial import digest
from kfunctest.trial.log import Log
from kfunctest.trial.reading import Fault, SuiteRun
from kfunctest.trial.suite import Ended
from kfunctest.trial.trials import Image, Trials
from kfunctest.trial.work import KEPT, LOG, work
from tests import fakekernel
from tests.gating import leave, row
from tests.killing import killed

IMAGE = Image("7.2", "7.2", "abc")


@dataclass
class FakeSuite:
    """Ends each run as ``outcomes`` has it for its directory's name, else passed; is killed in run ``kills``."""

    outcomes: dict[str, str] = field(default_factory=dict)
    kills: int = 0
    ran: list[str] = field(default_factory=list)

    def __call__(self, kernel: str, folder: Path, words: Sequence[str], tests: Sequence[str]) -> Ended:
        self.ran.append(f"{kernel} {folder.name}")
        outcome = self.outcomes.get(f"{kernel} {folder.name}", "passed")
        run = row(kernel, a="passed", b=outcome, status=3 if outcome == "infra" else None).run
        assert run
        ended = leave(folder, run)
        if len(self.ran) == self.kills:  # its results are there, and nobody has read them
            os.kill(os.getpid(), signal.SIGKILL)
        return ended


def test_a_log_loses_no_line_but_the_torn_one(tmp_path: Path) -> None:
    log = Log(tmp_path / LOG)
    log.add(trial={"n": 1})
    log.add(trial={"n": 2})
    whole = log.file.read_bytes()
    for cut in range(len(whole)):
        log.file.write_bytes(whole[:cut])
        again = Log(log.file)
        assert len(again.entries) == whole[:cut].count(b"\n")
        again.add(trial={"n": 3})
        assert [entry["trial"]["n"] for entry in Log(log.file).entries][-1] == 3


def test_a_log_that_cannot_be_written_is_the_machines_fault(tmp_path: Path) -> None:
    with pytest.raises(InfraError, match="cannot be written"):
        Log(tmp_path / "no directory" / LOG).add(trial={})


def test_a_trial_in_the_log_is_not_run_again(tmp_path: Path) -> None:
    first, second = FakeSuite(), FakeSuite()
    before = Trials(first, tmp_path, Log(tmp_path / LOG)).run(IMAGE, "one", ("-x",))
    again = Trials(second, tmp_path, Log(tmp_path / LOG))
    assert (again.run(IMAGE, "one", ("-x",)), second.ran, again.resumed) == (before, [], 1)


@pytest.mark.parametrize(
    "other",
    [
        (replace(IMAGE, digest="other"), "one", ("-x",), ("selftests",)),
        (IMAGE, "two", ("-x",), ("selftests",)),
        (IMAGE, "one", ("-v",), ("selftests",)),
        (IMAGE, "one", ("-x",), ("selftests/test_usage.py",)),
    ],
)
def test_another_image_name_or_selection_is_another_trial(
    tmp_path: Path, other: tuple[Image, str, tuple[str, ...], tuple[str, ...]]
) -> None:
    suite = FakeSuite()
    Trials(suite, tmp_path, Log(tmp_path / LOG)).run(IMAGE, "one", ("-x",))
    Trials(suite, tmp_path, Log(tmp_path / LOG)).run(*other)
    assert len(suite.ran) == 2


def test_what_the_machine_has_spoilt_or_somebody_removed_is_run_again(tmp_path: Path) -> None:
    suite = FakeSuite({"7.2 infra": "infra"})
    trials = Trials(suite, tmp_path, Log(tmp_path / LOG))
    for name in ("infra", "removed"):
        trials.run(IMAGE, name)
    shutil.rmtree(tmp_path / "removed")
    again = Trials(suite, tmp_path, Log(tmp_path / LOG))
    assert [again.run(IMAGE, name).fault for name in ("infra", "removed")] == [None, None]
    assert suite.ran == ["7.2 infra", "7.2 removed"] * 2


def test_results_of_two_kernels_do_not_answer_for_one(tmp_path: Path) -> None:
    def two(kernel: str, folder: Path, *_: object) -> Ended:
        run, other = row(kernel, a="passed").run, row("7.3", a="passed").run
        assert run
        assert other
        return leave(folder, replace(run, kernels=(*run.kernels, *other.kernels)))

    for image in (IMAGE, Image("7.2")):
        assert Trials(two, tmp_path / str(image.id)).run(image, "one").fault is Fault.FOREIGN


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Something of everything that a verdict may depend on."""
    for name in ("kfunctest/a.py", "selftests/bpf/a.bpf.c", "kernel-config/lists/DENYLIST", "tests/test_a.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("one")
    for name in ("conftest.py", "pyproject.toml", "requirements.txt", "README.md"):
        (tmp_path / name).write_text("one")
    return tmp_path


@pytest.mark.parametrize(
    "name",
    [
        "kfunctest/a.py",
        "kfunctest/new.css",
        "selftests/bpf/a.bpf.c",
        "kernel-config/lists/DENYLIST",
        "conftest.py",
        "pyproject.toml",
        "requirements.txt",
    ],
)
def test_what_a_verdict_depends_on_is_in_the_digest(checkout: Path, name: str) -> None:
    before = digest.of_suite(checkout)
    (checkout / name).write_text("two")
    assert digest.of_suite(checkout) != before


@pytest.mark.parametrize("name", ["kfunctest/__pycache__/a.cpython-311.pyc", "tests/test_a.py", "README.md"])
def test_what_a_first_run_writes_and_what_judges_the_project_is_not(checkout: Path, name: str) -> None:
    before = digest.of_suite(checkout)
    (checkout / name).parent.mkdir(exist_ok=True)
    (checkout / name).write_text("two")
    assert digest.of_suite(checkout) == before


def test_only_an_unfinished_run_of_the_same_is_resumed(tmp_path: Path) -> None:
    def left(kind: str, key: str, *, fresh: bool = False, finished: bool = False) -> tuple[Path, bool]:
        with suppress(KeyboardInterrupt), work(tmp_path, kind, key, fresh=fresh) as place:
            if not finished:
                raise KeyboardInterrupt
        assert (tmp_path / f"{kind}-latest").resolve() == place.folder
        return place.folder, place.resumed

    first, resumed = left("gate", "key")
    assert not resumed
    others = [left("gate", "other key"), left("flakes", "key"), left("gate", "key", fresh=True)]
    assert [resumed for _, resumed in others] == [False] * 3
    assert left("gate", "key", finished=True) == (others[2][0], True), "the newest"
    assert left("gate", "key", finished=True) == (first, True)
    assert not left("gate", "key")[1]


def test_a_run_that_is_in_use_is_neither_resumed_nor_removed(tmp_path: Path) -> None:
    old = [tmp_path / f"gate-2020010{day}-000000-{4194300 + day}" for day in range(1, 9)]
    for folder in old:
        folder.mkdir()
    with work(tmp_path, "gate", "key") as place:
        place.folder.rename(tmp_path / "gate-20200101-000000-1")
        with work(tmp_path, "gate", "key") as other:
            assert not other.resumed
    assert sum(folder.exists() for folder in old) == KEPT - 1
    assert (tmp_path / "gate-20200101-000000-1").exists()


@pytest.fixture
def any_kernel(tmp_path: Path, cache_here: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    """What every name stands for; QEMU is not asked for its version."""
    image = tmp_path / "vmlinuz"
    image.write_bytes(fakekernel.image(config=fakekernel.CONFIG))
    found = spec.resolve(str(image))
    monkeypatch.setattr(spec, "resolve", lambda *_, **__: found)
    monkeypatch.setattr(host_checks, "versions", lambda: "QEMU 7")
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    return found


@pytest.mark.usefixtures("any_kernel")
@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_a_gate_killed_at_any_run_ends_as_one_that_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], at: int
) -> None:
    outcomes = {"7.2 first": "failed", "7.2 repeat-2": "failed"}
    entries = tuple(Named(name, source="linux") for name in ("7.2", "7.3"))

    def judged(results: str, kills: int = 0) -> tuple[list[str], Any, int]:
        suite = FakeSuite(outcomes, kills)
        monkeypatch.setattr(gate, "pytest_suite", lambda *_: suite)
        asked = gate.Asked(entries, True, (), (), 2, 60, None, tmp_path / results)
        status = gate.run(asked, Baseline())
        found = record.read((tmp_path / results / "gate-latest").resolve() / record.NAME)
        rows = [replace(one, run=None) for one in found.rows]
        return suite.ran, [(one, one.repeated("selftests/test_b.py::test_b")) for one in rows], status

    ran, rows, status = judged("undisturbed")
    assert ran == ["7.2 first", "7.2 repeat-1", "7.2 repeat-2", "7.3 first"]
    killed(lambda: judged("killed", at))
    capsys.readouterr()
    assert judged("killed") == (ran[at - 1 :], rows, status)
    assert f"gate: resumed, {at - 1} runs of the suite are taken over (--fresh" in capsys.readouterr().out


@pytest.mark.parametrize("at", [1, 2, 3])
def test_flakes_killed_at_any_run_end_as_if_they_were_not(tmp_path: Path, at: int) -> None:
    kernel: Any = SimpleNamespace(spec="7.2", id="7.2", image_digest="", release="7.2", facts=fakekernel_facts())

    def found(results: str, kills: int = 0) -> tuple[list[str], list[SuiteRun]]:
        suite = FakeSuite({"7.2 002": "failed"}, kills)
        with work(tmp_path / results, "flakes", "key") as place:
            trials = Trials(suite, place.folder, place.log)
            runs = flakes(kernel, Accelerator("tcg", "", 1), 3, Manner(), trials, lambda _: None).runs
        return suite.ran, [replace(one, folder=Path()) for one in runs]

    ran, runs = found("undisturbed")
    killed(lambda: found("killed", at))
    assert found("killed") == (ran[at - 1 :], runs)


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_harness_killed_at_any_pair_measures_the_others(
    tmp_path: Path, any_kernel: Kernel, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    def measured(kills: int = 0) -> list[harness.Pair]:
        asked: list[str] = []

        def suite(_kernel: object, _accel: object, _seconds: float, folder: Path) -> tuple[float, float]:
            asked.append(folder.name)
            if kills and len(asked) == kills + 1:  # one goes before, to warm up
                os.kill(os.getpid(), signal.SIGKILL)
            return 10.0 + int(folder.name), 1.0

        monkeypatch.setattr(harness, "_suite", suite)
        monkeypatch.setattr(harness, "_timed", lambda _: 1.0)
        monkeypatch.setattr(harness, "command", lambda *_: [])
        monkeypatch.setattr(harness, "boot", lambda *_: nullcontext())
        with work(tmp_path, "harness", "key") as place:
            return harness.harness(any_kernel, Accelerator("tcg", "", 1), 3, place.log, lambda _: None).pairs

    killed(lambda: measured(at))
    assert measured() == [harness.Pair(1.0, 10.0 + number, 1.0) for number in (1, 2, 3)]
    (folder,) = tmp_path.glob("harness-[0-9]*")
    assert sum("pair" in entry for entry in Log(folder / LOG).entries) == 3


def fakekernel_facts() -> Any:
    return SimpleNamespace(unknown_kfuncs=frozenset(), enums=())
