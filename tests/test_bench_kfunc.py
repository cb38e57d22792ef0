# SPDX-License-Identifier: GPL-2.0-only
"""scripts/bench kfunc without a kernel: the order of runs, wrong values, Ctrl-C, the report, the record."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kfunctest import shell
from kfunctest.bench import __main__ as bench
from kfunctest.bench.kfunc import command, table, values
from kfunctest.bench.kfunc import samples as names
from kfunctest.bench.kfunc.experiment import Experiment, Plan
from kfunctest.bench.kfunc.items import Items
from kfunctest.bench.kfunc.samples import Figures, load
from kfunctest.errors import InfraError, SpecError, VmDied
from tests.benching import ABOUT, ITEMS, PlayedLab, PlayedTarget, noisy

FEW = Items(("NR_ANON_MAPPED", "PGFAULT"), (1,), (3,))


def experiment(lab: PlayedLab, **plan: Any) -> Experiment:
    items = {names.KFUNCS: ITEMS, names.PATCHS: FEW}
    figures = Figures(dict(ABOUT))
    target: Any = PlayedTarget(lab)
    return Experiment(lab, target, items, Plan(**{"sizes": (1, 10), **plan}), figures, [].append)  # type: ignore[arg-type]


def test_sides_are_interleaved_and_every_other_round_runs_backwards() -> None:
    lab = PlayedLab()
    found = experiment(lab, rounds=2, figures=("root",), passes=50)
    found.run()
    sides = ["sscanf", "hand", "raw", "kfuncs", "patch"]
    assert lab.calls == [*sides, *sides, *reversed(sides)], "warm up, a round, a round backwards"
    assert {name: len(runs) for name, runs in found.figures.sides.items()} == dict.fromkeys(
        (names.CONTROL, names.BY_HAND, names.RAW, names.KFUNCS, names.PATCHS), 2
    )
    assert all(run.passes == 50 for runs in found.figures.sides.values() for run in runs)


def test_each_side_runs_for_as_long_as_it_is_asked_to() -> None:
    found = experiment(PlayedLab(), rounds=1, seconds=2.0, figures=("root", "python", "trees", "parts"))
    found.run()
    assert found.figures.whole
    for runs in (found.figures.sides, found.figures.parts, *found.figures.trees.values()):
        for name, (run,) in runs.items():
            assert run.real == pytest.approx(2.0, rel=0.01), f"{name} ran for {run.real} s"


def test_both_sides_are_compared_in_root_and_in_every_memcg_of_a_tree() -> None:
    found = experiment(PlayedLab(), rounds=1, figures=("trees",))
    found.run()
    assert found.figures.wrong == []
    assert found.figures.equal == [
        *("root: 3 values", "a tree of 1: 3 values", "a tree of 10: 30 values", "root, at the end: 3 values"),
    ]


def test_a_faster_wrong_answer_is_a_failure() -> None:
    lab = PlayedLab()
    lab.read["shmem"] = 0
    found = experiment(lab, rounds=1, figures=("trees",), sizes=(10,))
    found.run()
    assert found.figures.wrong[0] == "root: shmem: 0 through the kfuncs, 8192 in memory.stat"
    assert "a tree of 10: memcg 9: shmem: 0 through the kfuncs, 8192 in memory.stat" in found.figures.wrong
    said: list[str] = []
    assert command.finish(found.figures, None, None, 1.1, said.append) == 1
    assert any("do not read the same" in line for line in said)


def test_an_iterator_that_leaves_out_a_memcg_is_a_failure() -> None:
    lab = PlayedLab()
    found = experiment(lab, rounds=1, figures=("trees",), sizes=(10,))

    def lose_one(number: int) -> None:
        lab.tree_size = 9

    lab._at_call = lose_one
    found.run()
    assert found.figures.wrong == ["a tree of 10: the iterator visited 9 of 10 memcgs"]


@pytest.mark.parametrize(
    "before, value, after, agrees",
    [
        (7, 7, 7, True),
        (7, 8, 7, False),
        (7, 8, 9, True),
        (9, 8, 7, True),
        (7, 10, 9, False),
        (0, (1 << 64) - 1, 0, False),
    ],
)
def test_a_value_lies_between_two_readings_of_the_file(before: int, value: int, after: int, agrees: bool) -> None:
    assert (values.disagreements([({"a": before}, {"a": value}, {"a": after})]) == []) is agrees


def test_a_value_that_moved_within_one_sample_may_agree_in_the_next() -> None:
    moved, still = ({"a": 7}, {"a": 8}, {"a": 7}), ({"a": 7}, {"a": 7}, {"a": 7})
    assert values.disagreements([moved, still]) == []
    assert values.disagreements([moved, moved]) == ["a: 8 through the kfuncs, 7 in memory.stat"]


def parsed(*argv: str) -> command.Kfunc:
    return shell.parsed(bench._parser(), ["kfunc", *argv], command.Kfunc)


def booted(lab: PlayedLab, monkeypatch: pytest.MonkeyPatch) -> command.Kfunc:
    """The command's options, with the machine behind it played."""

    @contextmanager
    def boot(*_args: object) -> Iterator[Any]:
        target = PlayedTarget(lab)
        target.cpus = 2  # type: ignore[attr-defined]
        yield target

    kernel = SimpleNamespace(
        release="7.9.1", image_digest="", config_digest="", facts=SimpleNamespace(kfuncs={"bpf_mem_cgroup_usage"})
    )
    monkeypatch.setattr(command, "boot", boot)
    monkeypatch.setattr("kfunctest.bench.kfunc.command.host_checks.check", lambda: None)
    monkeypatch.setattr("kfunctest.bench.kfunc.command.host_checks.versions", lambda: "")
    monkeypatch.setattr("kfunctest.bench.kfunc.command.spec.resolve", lambda *_args, **_kwargs: kernel)
    monkeypatch.setattr("kfunctest.bench.kfunc.command.items.every", lambda _kernel: ITEMS)
    monkeypatch.setattr("kfunctest.bench.kfunc.command.items.patchs", lambda _kernel: FEW)
    monkeypatch.setattr("kfunctest.bench.kfunc.command.programs.build", lambda: None)
    monkeypatch.setattr(command, "Lab", lambda *_args: lab)
    return parsed("--rounds", "7", "--accel", "tcg", "--figures", "root,python")


def test_ctrl_c_reports_and_keeps_what_was_measured_so_far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(number: int) -> None:
        if number > 40:
            raise KeyboardInterrupt

    options = replace(booted(PlayedLab(interrupt), monkeypatch), results=tmp_path)
    said: list[str] = []
    assert command.run(options, said.append) == 130
    text = "\n".join(said)
    assert cells(said, "control: memory.stat by fgets and sscanf")[:3] == ["20.00", "12.00", "8.00"]
    assert "Not all was measured that was asked for." in text
    kept = load(tmp_path / "kfunc.json")
    counts = {len(runs) for runs in kept.sides.values()}
    assert len(counts) == 1, f"whole rounds only: {counts}"
    assert 1 <= counts.pop() < 7
    assert not kept.whole


def test_a_kernel_that_dies_leaves_its_figures_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(number: int) -> None:
        if number > 40:
            raise VmDied("the kernel panicked", "the console")

    options = replace(booted(PlayedLab(die), monkeypatch), results=tmp_path)
    said: list[str] = []
    with pytest.raises(InfraError, match="the kernel panicked"):
        command.run(options, said.append)
    assert any("control: memory.stat by fgets and sscanf" in line for line in said)


def test_a_whole_run_is_kept_as_record_report_and_plots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    every = ("root", "python", "trees", "parts")
    options = replace(booted(PlayedLab(), monkeypatch), results=tmp_path, figures=every)
    said: list[str] = []
    assert command.run(options, said.append) == 0
    assert {path.name for path in tmp_path.iterdir()} == {
        *("kfunc.json", "kfunc.md", "time-per-read.png", "time-per-read.svg", "growth.png", "growth.svg"),
    }
    assert (tmp_path / "time-per-read.png").read_bytes().startswith(b"\x89PNG")
    assert "one pass of the iterator" in (tmp_path / "growth.svg").read_text()
    assert load(tmp_path / "kfunc.json").trees[1000][names.FILES][0].each == pytest.approx(0.040)
    again: list[str] = []
    options = parsed("--from", str(tmp_path / "kfunc.json"))
    assert command.run(options, again.append) == 0
    assert again == said[-len(again) - 1 : -1], "a record says the same again"
    options = replace(options, results=tmp_path / "again")
    assert command.run(options, again.append) == 0
    drawn = [(tmp_path / folder / "growth.svg").read_text() for folder in ("", "again")]
    assert drawn[0] == drawn[1], "the same figures are drawn letter for letter the same"


def cells(lines: list[str], first: str) -> list[str]:
    """The cells of the row that begins so, but for the first."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return next(row[1:] for row in rows if row[0] == first)


def test_the_report_stands_beside_the_patchs_own_figures() -> None:
    lines = table.report(noisy(0.1, 1, noise=0.0, drift=0.0))
    assert cells(lines, "*the patch: control*") == ["38.32", "25.13", "13.07", "1.000", "one run"]
    assert cells(lines, "kfuncs, all 3 items") == ["4.00", "2.00", "2.00", "0.100", "0.100 to 0.100"]
    assert "90.0 % less real, 90.0 % less system, 90.0 % less user" in "\n".join(lines)


def test_under_emulation_the_claim_is_not_concluded() -> None:
    claim = "Under TCG nothing of the patch's claim can be concluded"
    assert claim in "\n".join(table.report(noisy(0.1, 1, accelerator="tcg")))
    assert claim not in "\n".join(table.report(noisy(0.1, 1)))


def test_too_few_rounds_have_no_interval() -> None:
    text = "\n".join(table.report(noisy(0.1, 1, rounds=2)))
    assert "2 rounds are too few" in text


def test_the_gate_has_a_status_of_its_own(tmp_path: Path) -> None:
    for name, ratio in (("before", 0.1), ("same", 0.1), ("slow", 0.2)):
        noisy(ratio, len(name), noise=0.01).save(tmp_path / f"{name}.json")
    statuses = {}
    for name in ("same", "slow"):
        argv = ["kfunc", "--from", str(tmp_path / f"{name}.json"), "--gate", str(tmp_path / "before.json")]
        statuses[name] = bench.main(argv)
    assert statuses == {"same": 0, "slow": 1}


@pytest.mark.parametrize(
    "text, says",
    [("", "no record"), ("[]", "no record"), ('{"format": 99}', "another version"), ('{"format": 1}', "no record")],
)
def test_what_is_no_record_is_turned_down(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "baseline.json"
    path.write_text(text)
    with pytest.raises(SpecError, match=says):
        load(path)
    with pytest.raises(SpecError, match="cannot be read"):
        load(tmp_path / "missing.json")


@pytest.mark.parametrize(
    "words", [["--rounds", "0"], ["--seconds", "0"], ["--iterations", "-1"], ["--figures", "roots"], ["--allowed", "1"]]
)
def test_a_wrong_word_is_said_before_anything_is_booted(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        bench.main(["kfunc", *words])
    assert words[0] in capsys.readouterr().err
