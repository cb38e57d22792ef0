# SPDX-License-Identifier: GPL-2.0-only
"""How a gate judges kernel by kernel: each in a process of its own, whatever becomes of it."""

from __future__ import annotations

import errno
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from kfunctest import results
from kfunctest.errors import InfraError, SpecError
from kfunctest.gate import baseline, command, record
from kfunctest.gate.baseline import Baseline
from kfunctest.gate.lists import Entry, Lists
from kfunctest.gate.run import EVIDENCE, Gate
from kfunctest.gate.verdict import Status
from kfunctest.kernels import named, spec
from kfunctest.kernels.model import Kernel
from kfunctest.kernels.named import Named
from kfunctest.machine import host_checks
from kfunctest.trial import suite
from kfunctest.trial.suite import Ended
from kfunctest.trial.trials import Trials
from kfunctest.wait import wait_until
from tests import fakekernel
from tests.gating import A, B, judge, leave, row

NEVER = Lists()


class FakeSuite:
    """Leaves what it is told to, run by run, as pytest would: the results of 7.2 and its status."""

    def __init__(self, *outcomes: dict[str, str] | None) -> None:
        self.outcomes = list(outcomes)
        self.asked: list[tuple[str, ...]] = []

    def __call__(self, kernel: str, folder: Path, words: Sequence[str], tests: Sequence[str]) -> Ended:
        self.asked.append((*words, *tests))
        outcomes = self.outcomes.pop(0)
        if outcomes is None:
            return Ended(-9, "Killed", None)
        run = row(kernel, (), None, **outcomes).run
        assert run
        return leave(folder, run)


@pytest.fixture
def complete(tmp_path: Path, cache_here: Path) -> Kernel:
    """A kernel with all kfuncs; nobody boots it."""
    image = tmp_path / "vmlinuz"
    image.write_bytes(fakekernel.image(config=fakekernel.CONFIG))
    return spec.resolve(str(image))


@pytest.fixture
def without(complete: Kernel) -> Kernel:
    """The same without them."""
    return replace(complete, facts=replace(complete.facts, kfuncs=frozenset()))


def entry(name: str = "7.2", *, kfuncs: bool = True) -> Named:
    return Named(name, source="linux", kfuncs=kfuncs)


def test_a_kernel_is_judged_by_what_its_run_leaves(tmp_path: Path, complete: Kernel) -> None:
    fake = FakeSuite({"a": "passed", "b": "failed"})
    found = Gate(lambda name: complete, Trials(fake, tmp_path / "gate"), words=("-n", "2")).row(entry(), NEVER)
    assert found.judged
    assert {test: str(one.outcome) for test, one in found.results.items()} == {A: "passed", B: "failed"}
    assert (tmp_path / "gate" / found.folder / results.NAME).is_file()
    assert fake.asked == [("-n", "2", "selftests")]


@pytest.mark.parametrize("error", [SpecError("it does not compile", evidence="a.c:1: error"), InfraError("disk full")])
def test_a_kernel_that_cannot_be_had_is_a_row_with_the_reason(tmp_path: Path, error: SpecError) -> None:
    def get(name: str) -> Kernel:
        raise error

    fake = FakeSuite()
    found = Gate(get, Trials(fake, tmp_path)).row(entry(), NEVER)
    assert (found.problem, fake.asked) == (str(error), [])
    assert judge(found).status == Status.UNJUDGED
    assert (tmp_path / "7.2" / EVIDENCE).exists() is bool(error.evidence)


def test_a_disk_that_fills_is_a_row_with_the_reason(tmp_path: Path, complete: Kernel) -> None:
    def full(*_: object) -> Ended:
        raise OSError(errno.ENOSPC, "No space left on device")

    found = Gate(lambda name: complete, Trials(full, tmp_path)).row(entry(), NEVER)
    assert "No space left" in found.problem
    assert judge(found).status == Status.UNJUDGED


def test_only_what_ended_badly_and_counts_is_repeated(tmp_path: Path, complete: Kernel) -> None:
    fake = FakeSuite({"a": "failed", "b": "crashed", "c": "passed"}, {"a": "passed"}, None, {"a": "failed"})
    lists = Lists(deny=(Entry("test_b", "known", "DENYLIST:1"),))
    found = Gate(lambda name: complete, Trials(fake, tmp_path), repeat=3).row(entry(), lists)
    assert fake.asked[1:] == [(A,)] * 3
    assert (found.results[A].outcome, found.repeated(A)) == ("failed", ("passed", "failed"))
    assert "ended by signal 9; Killed" in found.lost[0]
    assert judge(found, lists=lists).status == Status.BAD


def test_nothing_is_repeated_where_all_is_well(tmp_path: Path, complete: Kernel) -> None:
    fake = FakeSuite({"a": "passed", "b": "skipped"})
    assert Gate(lambda name: complete, Trials(fake, tmp_path), repeat=3).row(entry(), NEVER).repeats == ()


def test_a_kernel_without_the_kfuncs_is_not_booted(tmp_path: Path, complete: Kernel, without: Kernel) -> None:
    fake = FakeSuite()
    bad = Gate(lambda name: without, Trials(fake, tmp_path / "a")).row(entry(), NEVER)
    fine = Gate(lambda name: without, Trials(fake, tmp_path / "b")).row(entry(kfuncs=False), NEVER)
    there = Gate(lambda name: complete, Trials(fake, tmp_path / "c")).row(entry(kfuncs=False), NEVER)
    assert "none of the memcg BPF kfuncs" in bad.bad
    assert (fine.absent, fine.bad) == (True, "")
    assert "kfuncs = false" in there.bad
    assert fake.asked == []


@pytest.fixture
def asked(tmp_path: Path) -> command.Asked:
    """A gate on two kernels, with results of its own."""
    entries = (entry("7.2"), entry("7.3"))
    return command.Asked(entries, True, ("--repeat", "1"), (), 1, 60, None, tmp_path / "results")


def latest(asked: command.Asked) -> Path:
    return (asked.results / "gate-latest").resolve()


def elsewhere(asked: command.Asked, name: str) -> command.Asked:
    """A second gate of the same process, and perhaps of the same second, needs a place of its own."""
    return replace(asked, results=asked.results / name)


@pytest.fixture
def gated(asked: command.Asked, complete: Kernel, monkeypatch: pytest.MonkeyPatch) -> FakeSuite:
    """A suite that the command uses."""
    fake = FakeSuite()
    monkeypatch.setattr(command, "pytest_suite", lambda seconds, show: fake)
    monkeypatch.setattr(spec, "resolve", lambda name, **options: complete)
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    return fake


def test_a_gate_leaves_a_verdict_a_record_and_the_matrix(
    asked: command.Asked, gated: FakeSuite, capsys: pytest.CaptureFixture[str]
) -> None:
    gated.outcomes = [{"a": "passed", "b": "passed"}, {"a": "passed", "b": "failed"}, {"b": "passed"}]
    assert command.run(asked, Baseline()) == Status.BAD
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == "gate: the kernel is bad (2 of 2 kernels judged, 1 bad)"
    assert f"  7.3: {B}: failed: failed it did (1 x again: passed)" in said
    assert f"    scripts/kfunc {B}" in said
    assert "  test_b   .  F>." in [line.rstrip() for line in said]
    again = baseline.of(record.read(latest(asked) / record.NAME))
    gated.outcomes = [{"a": "passed", "b": "passed"}, {"a": "passed", "b": "failed"}, {"b": "passed"}]
    assert command.run(elsewhere(asked, "again"), again) == Status.PASS


def no_qemu() -> str:
    raise InfraError("qemu-system-x86_64 is not installed")


def test_earlier_gates_are_merged_and_nothing_is_run(
    asked: command.Asked, gated: FakeSuite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is anything needed that a run needs: a job of CI that merges may have no QEMU."""
    gated.outcomes = [{"a": "passed"}, {"a": "passed", "b": "passed"}]
    parts = []
    for one in asked.entries:
        job = elsewhere(replace(asked, entries=(one,), whole=False), one.name)
        command.run(job, Baseline())
        parts.append(record.read(latest(job) / record.NAME))
    monkeypatch.setattr(host_checks, "versions", no_qemu)
    assert command.run(elsewhere(asked, "merged"), Baseline(), parts) == Status.PASS
    assert command.run(elsewhere(asked, "one lost"), Baseline(), parts[:1]) == Status.UNJUDGED


def test_an_interrupted_gate_has_a_record_of_what_it_had(
    asked: command.Asked, gated: FakeSuite, monkeypatch: pytest.MonkeyPatch
) -> None:
    gated.outcomes = [{"a": "passed"}]
    real = gated.__call__

    def interrupted(kernel: str, *words: object) -> Ended:
        if kernel == "7.3":
            raise KeyboardInterrupt
        return real(kernel, *words)  # type: ignore[arg-type]

    monkeypatch.setattr(command, "pytest_suite", lambda seconds, show: interrupted)
    with pytest.raises(KeyboardInterrupt):
        command.run(asked, Baseline())
    rows = record.read(latest(asked) / record.NAME).rows
    assert [(found.kernel, found.problem) for found in rows] == [("7.2", ""), ("7.3", "interrupted")]


def test_old_gates_go_and_what_is_not_ours_stays(asked: command.Asked, gated: FakeSuite) -> None:
    old = [asked.results / f"gate-2020010{day}-000000-4194305" for day in range(1, 9)]
    other = asked.results / "20200101-000000-4194305"
    for folder in (*old, other):
        folder.mkdir(parents=True)
    gated.outcomes = [{"a": "passed"}, {"a": "passed"}]
    command.run(asked, Baseline())
    assert [folder.exists() for folder in old] == [False] * 4 + [True] * 4
    assert other.exists()


@pytest.mark.parametrize("word", ["--kernel", "--kernel=x", "--results"])
def test_what_the_gate_says_itself_is_refused(word: str) -> None:
    with pytest.raises(SpecError, match="not for the gate's pytest"):
        command.checked(["-k", "a", word])


def test_mistakes_are_one_line_and_never_say_that_a_kernel_is_bad(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from kfunctest.gate.__main__ import main

    monkeypatch.setenv("KFUNCTEST_CWD", str(tmp_path))
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    for argv, remedy in (
        (["no-such-kernel"], "scripts/kfunc --kernel no-such-kernel"),
        (["--baseline", "none.json", "7.2-slim"], "give it the gate.json of an earlier scripts/gate"),
        (["--merge", "file"], "give it the gate.json of an earlier scripts/gate"),
        (["--merge", "empty"], "unpack there what the jobs' scripts/gate left"),
        (["7.2-slim", "--", "--kernel", "x"], "name kernels, or --results, before --"),
        (["7.2-slim", "--results", "file"], "cannot be written (it is no directory); choose another with --results"),
        (["7.2-slim", "--results", "file/below"], "choose another with --results"),
    ):
        assert main(argv) == Status.UNJUDGED, argv
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("gate: "), argv
        assert remedy in line, argv
    monkeypatch.setattr(named, "load", lambda: 1 / 0)
    assert main([]) == Status.UNJUDGED
    assert "ZeroDivisionError" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--minutes", "0"], ["--minutes", "-1"], ["--repeat", "-1"], ["--repeat", "x"]])
def test_a_number_that_means_nothing(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    from kfunctest.gate.__main__ import main

    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == Status.UNJUDGED
    assert f"argument {words[0]}: {words[1]!r} is none of " in capsys.readouterr().err


def python(code: str, tmp_path: Path, seconds: float = 60) -> tuple[int, str, bytes]:
    shown = bytearray()
    status, said = suite._run([sys.executable, "-c", code], seconds, tmp_path / suite.OUTPUT, shown.extend)
    assert (tmp_path / suite.OUTPUT).read_bytes() == shown
    return status, said, bytes(shown)


def test_how_a_run_ended_and_what_it_said(tmp_path: Path) -> None:
    assert python("print('kfunctest: why'); print('last'); raise SystemExit(3)", tmp_path)[:2] == (3, "why")
    assert python("print('last')", tmp_path)[:2] == (0, "last")
    assert python("import os; os.write(2, b'\\xff\\0\\n')", tmp_path) == (0, "\ufffd\0", b"\xff\0\n")
    assert python("import os; os.kill(os.getpid(), 9)", tmp_path)[:2] == (-9, "")


def test_words_of_somebodys_own_for_pytest_narrow_no_gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", "-k only_this_one")
    assert python("import os; print('PYTEST_ADDOPTS' in os.environ)", tmp_path)[:2] == (0, "False")


def test_a_run_that_does_not_end_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    code = (
        "import subprocess, time; p = subprocess.Popen(['sleep', '1000']); print(p.pid, flush=True); time.sleep(1000)"
    )
    start = time.monotonic()
    status, said, shown = python(code, tmp_path, seconds=3)
    assert (status, said) == (-9, "it did not end within 0 minutes")
    assert time.monotonic() - start < 30
    wait_until(lambda: not Path("/proc", shown.decode().strip()).exists(), seconds=30, what="the end of its child")


def test_a_run_that_closes_its_output_and_goes_on_is_ended_too(tmp_path: Path) -> None:
    start = time.monotonic()
    assert python("import os, time; os.close(1); os.close(2); time.sleep(60)", tmp_path, seconds=3)[0] == -9
    assert time.monotonic() - start < 30


def test_a_process_that_outlives_its_run_does_not_hold_up_the_gate(tmp_path: Path) -> None:
    code = "import subprocess; subprocess.Popen(['sleep', '1000'], start_new_session=False); print('done')"
    start = time.monotonic()
    assert python(code, tmp_path)[:2] == (0, "done")
    assert time.monotonic() - start < 30
