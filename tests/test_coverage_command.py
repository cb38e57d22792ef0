# SPDX-License-Identifier: GPL-2.0-only
"""What scripts/coverage does with a run, and the status it ends with; and how a run keeps what its kernel counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kfunctest.coverage import __main__ as command
from kfunctest.coverage import collect, lines, reasons, report
from kfunctest.coverage.lines import WHOLE, Line
from kfunctest.coverage.reasons import Reason
from kfunctest.errors import GuestError, VmDied
from kfunctest.kernels import spec
from kfunctest.kernels.model import Facts
from kfunctest.plugin import SESSION
from kfunctest.trial.suite import Ended
from tests.gating import leave, row

REACHED = Line(WHOLE, 25, "bpf_get_root_mem_cgroup", "if (mem_cgroup_disabled())", 5, (1, 4))
NOT_REACHED = Line(WHOLE, 189, "bpf_memcontrol_init", 'pr_warn("error");', 0, ())
REASON = Reason("bpf_memcontrol_init", "pr_warn(", "registration does not fail")

#: Runs the command on a suite that ends with this status, and what it reached; the arguments of pytest are kept.
Command = Callable[..., int]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    def run(*argv: str, found: Sequence[Line] = (), known: Sequence[Reason] = (), suite: int = 0) -> int:
        def judge(_kernel: str, folder: Path, words: Sequence[str], _tests: Sequence[str]) -> Ended:
            ran = row(command.KERNEL, a={0: "passed", 1: "failed"}.get(suite, "infra"), status=suite).run
            assert ran
            ended = leave(folder, ran)
            (folder / "words").write_text("\n".join(words))
            return ended

        def gather(notes: Path, boots: Path, folder: Path) -> Sequence[Line]:
            assert (notes.name, boots.name, folder.name) == ("gcov", "boots", "report")
            return found

        facts = Facts((), frozenset(), frozenset(), memcg=True, btf_size=0, unknown_kfuncs=frozenset({"bpf_new"}))
        kernel = SimpleNamespace(image=tmp_path / "built" / "vmlinuz", image_digest="", facts=facts)
        monkeypatch.setenv("KFUNCTEST_CWD", str(tmp_path))
        monkeypatch.setattr(spec, "resolve", lambda *_, **__: kernel)
        monkeypatch.setattr(command, "pytest_suite", lambda *_: judge)
        monkeypatch.setattr(report, "gather", gather)
        monkeypatch.setattr(reasons, "read", lambda: known)
        monkeypatch.setattr(lines, "FUNCTIONS", ())
        return command.main(["--results", "kept", *argv])

    return run


@pytest.mark.parametrize(
    "found, known, status, said",
    [
        ([REACHED], [], 0, ""),
        ([REACHED, NOT_REACHED], [REASON], 0, "(registration does not fail)"),
        ([REACHED, NOT_REACHED], [], 1, f"{WHOLE}:189: never run, and nothing says why"),
        ([REACHED], [REASON], 1, "0 lines that count are like this"),
        ([], [], 2, "counts nothing of mm/bpf_memcontrol.c"),
    ],
)
def test_the_status_tells_whether_all_is_reached(
    run: Command,
    capsys: pytest.CaptureFixture[str],
    found: Sequence[Line],
    known: Sequence[Reason],
    status: int,
    said: str,
) -> None:
    assert run(found=found, known=known) == status
    assert said in "".join(capsys.readouterr())


def test_tests_that_fail_are_for_the_gate_to_tell(run: Command) -> None:
    assert run(found=[REACHED], suite=1) == 0


def test_a_suite_that_did_not_run_counts_nothing(
    run: Command, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(found=[REACHED], suite=3) == 2
    (folder,) = (tmp_path / "kept").iterdir()
    assert f"scripts/coverage --from {folder}" in capsys.readouterr().err


def test_a_report_can_be_made_once_more_without_a_run(run: Command, tmp_path: Path) -> None:
    (tmp_path / "run-x").mkdir()
    assert run("--from", "run-x", found=[NOT_REACHED]) == 1
    assert "pr_warn" in (tmp_path / "run-x" / "coverage.txt").read_text()
    assert not (tmp_path / "kept").exists()


def test_words_for_pytest_go_there(run: Command, tmp_path: Path) -> None:
    assert run("--", "-k", "usage", found=[REACHED]) == 0
    (folder,) = (tmp_path / "kept").iterdir()
    words = (folder / "words").read_text().splitlines()
    assert words == [
        "-p",
        "kfunctest.coverage.collect",
        "--gcov",
        str(folder / "boots"),
        "--accept-kfunc=bpf_new",
        "-k",
        "usage",
    ]


def test_the_last_runs_are_kept(run: Command, tmp_path: Path) -> None:
    for _ in range(command.KEPT + 2):
        run(found=[REACHED])
    assert len(list((tmp_path / "kept").iterdir())) == command.KEPT


@pytest.mark.parametrize("argv", [("--from", "x", "--", "-k", "usage"), ("--nothing",)])
def test_a_wrong_command_line_is_told(run: Command, capsys: pytest.CaptureFixture[str], argv: tuple[str, ...]) -> None:
    try:
        status = run(*argv)
    except SystemExit as end:
        status = int(str(end.code))
    assert status == 4
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_what_goes_wrong_in_the_command_is_no_line_that_is_not_reached(
    run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reasons, "wrong", None)
    assert run(found=[REACHED]) == 2


def torn_down(folder: Path | None, vm: object, console: str = "console-1.log") -> None:
    """Let the plugin see the end of a test."""
    session = SimpleNamespace(running=vm, console=console)
    config = SimpleNamespace(stash={SESSION: session}, getoption=lambda _name: folder)
    item: Any = SimpleNamespace(config=config)
    hook = collect.pytest_runtest_teardown(item)
    next(hook)
    with pytest.raises(StopIteration):
        hook.send(None)


def machine(*counted: tuple[str, bytes] | Exception, lost: bool = False) -> object:
    def call(_read: object) -> list[tuple[str, bytes]]:
        found = []
        for one in counted:
            if isinstance(one, Exception):
                raise one
            found.append(one)
        return found

    return SimpleNamespace(lost=lost, call=call)


def test_each_boot_has_the_counters_of_its_last_test(tmp_path: Path) -> None:
    place = "/build/mm/memcontrol.gcda"
    torn_down(tmp_path, machine((place, b"one")))
    torn_down(tmp_path, machine((place, b"two")))
    torn_down(tmp_path, machine((place, b"of another")), "console-2.log")
    kept = {str(file.relative_to(tmp_path)): file.read_bytes() for file in tmp_path.rglob("*.*") if file.is_file()}
    assert kept == {"console-1/memcontrol.gcda": b"two", "console-2/memcontrol.gcda": b"of another"}


@pytest.mark.parametrize(
    "vm", [None, machine(lost=True), machine(VmDied("panic", "")), machine(GuestError("OSError", "no", ""))]
)
def test_a_machine_that_does_not_answer_leaves_what_it_counted_before(tmp_path: Path, vm: object) -> None:
    torn_down(tmp_path, machine(("/x/memcontrol.gcda", b"one")))
    torn_down(tmp_path, vm)
    assert (tmp_path / "console-1" / "memcontrol.gcda").read_bytes() == b"one"


def test_without_a_folder_nothing_is_asked() -> None:
    torn_down(None, machine(AssertionError("the machine was asked")))
