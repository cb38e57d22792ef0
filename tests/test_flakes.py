# SPDX-License-Identifier: GPL-2.0-only
"""What counts as unexpected when the suite is run many times over."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from kfunctest.bench.flakes import BUSY, Flakes, Manner, flakes
from kfunctest.kernels.model import Facts, Kernel
from kfunctest.machine.accelerator import Accelerator
from kfunctest.results import Between, Outcome, Result, Run, Splat
from kfunctest.trial.reading import Fault, SuiteRun
from kfunctest.trial.suite import Ended
from kfunctest.trial.trials import Trials
from kfunctest.wait import wait_until
from tests.pytest_result import Judge

WARN = Splat("warn", "WARNING: mm/memcontrol.c:1", "WARNING: mm/memcontrol.c:1\n...")
GOOD = (
    Result("test_a.py::test_usage", "k", Outcome.PASSED),
    Result("test_a.py::test_quirk", "k", Outcome.XFAILED),
    Result("test_a.py::test_numa", "k", Outcome.SKIPPED, message="not applicable: CONFIG_NUMA"),
)


@dataclass(frozen=True)
class Asked:
    words: list[str]
    busy: int


def once(*results: Result, status: int = 0, between: tuple[Between, ...] = ()) -> SuiteRun:
    planned = tuple((result.test, result.kernel) for result in GOOD)
    run = Run("", "", "", "", (), results=results, between=between, ended="now", status=status, planned=planned)
    return SuiteRun(status, Path(), run)


def unexpected(*runs: SuiteRun) -> list[str]:
    return Flakes("7.2", len(runs), list(runs)).unexpected()


def test_runs_that_are_good_and_alike() -> None:
    found = Flakes("7.2", 3, [once(*GOOD), once(*GOOD)])
    assert found.unexpected() == []
    assert not found.whole
    assert found.report() == ["2 of 3 runs on 7.2, 6 results: 2 passed, 2 skipped, 2 xfailed", "0 unexpected"]


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.XPASSED, Outcome.CRASHED, Outcome.HUNG, Outcome.INFRA])
def test_an_outcome_that_is_bad_though_it_is_the_same_each_time(outcome: Outcome) -> None:
    bad = replace(GOOD[0], outcome=outcome, message="expected 1, seen 2")
    found = unexpected(once(bad, *GOOD[1:]), once(bad, *GOOD[1:]))
    assert found == [f"run {run}: test_a.py::test_usage {outcome}: expected 1, seen 2" for run in (1, 2)]


def test_an_outcome_that_changes_though_both_are_good() -> None:
    other = (replace(GOOD[2], outcome=Outcome.PASSED, message=""), *GOOD[:2])
    assert unexpected(once(*GOOD), once(*other)) == ["run 2: test_a.py::test_numa passed (first: skipped)"]


def test_a_splat_in_a_test_that_passed_and_one_between_tests() -> None:
    spoke = (replace(GOOD[0], splats=(WARN,)), *GOOD[1:])
    between = Between("k", "test_a.py::test_usage", "", (WARN,))
    assert unexpected(once(*spoke), once(*GOOD, between=(between,))) == [
        f"run 1: test_a.py::test_usage passed: {WARN.line}",
        f"run 2: between test_a.py::test_usage and the end: {WARN.line}",
    ]


def test_a_splat_that_a_test_expects() -> None:
    assert unexpected(once(replace(GOOD[0], splats=(replace(WARN, expected=True),)), *GOOD[1:])) == []


def test_a_test_without_a_result() -> None:
    assert unexpected(once(*GOOD[:2])) == ["run 1: test_a.py::test_numa has no result"]


def test_a_run_that_judged_nothing() -> None:
    skipped = [replace(result, outcome=Outcome.SKIPPED) for result in GOOD]
    assert unexpected(once(*skipped)) == ["run 1: no test was put to the kernel"]


def test_a_run_without_a_whole_results_file() -> None:
    cut = SuiteRun(-9, Path(), None, Fault.LOST, "results.jsonl was cut short after 3 results")
    assert unexpected(once(*GOOD), cut) == ["run 2: status -9, results.jsonl was cut short after 3 results"]


def test_a_status_that_no_result_explains() -> None:
    assert unexpected(once(*GOOD, status=3)) == ["run 1: status 3, though each of its 3 results is good"]


REPEATED = Manner(repeat=3)


def repeated(outcomes: dict[str, str], consoles: str = "aaa", planned: int = 3) -> Flakes:
    """A run that had these tests three times each: of each an outcome a repetition, p for passed, f for failed, ..."""
    letters = {"p": Outcome.PASSED, "f": Outcome.FAILED, "s": Outcome.SKIPPED}
    found = [
        Result(name.format(f"{number}-3"), "k", letters[letter], message=f"seen {number}", console=console)
        for name, each in outcomes.items()
        for number, (letter, console) in enumerate(zip(each, consoles, strict=False), 1)
    ]
    names = tuple((name.format(f"{number}-3"), "k") for name in outcomes for number in range(1, planned + 1))
    run = Run("", "", "", "", (), results=tuple(found), ended="now", status=0, planned=names)
    return Flakes("7.2", 1, [SuiteRun(0, Path(), run)], REPEATED)


def test_each_repetition_that_failed_is_reported_and_how_many_of_its_test() -> None:
    found = repeated({"test_a.py::test_usage[{}]": "pff", "test_a.py::test_swap[x-{}]": "ppp"})
    assert found.report() == [
        "1 of 1 runs on 7.2, 6 results: 2 failed, 4 passed",
        "run 1: test_a.py::test_usage[2-3] failed (first: passed): seen 2",
        "run 1: test_a.py::test_usage[3-3] failed (first: passed): seen 3",
        "test_a.py::test_usage: 2 of 3 repetitions unexpected",
        "2 unexpected",
    ]


def test_a_repetition_that_fails_each_time_has_not_changed_and_is_reported() -> None:
    found = repeated({"test_a.py::test_swap[x-{}]": "fff"})
    assert [line for line in found.report() if "repetitions" in line] == [
        "test_a.py::test_swap[x]: 3 of 3 repetitions unexpected"
    ]


def test_a_repetition_that_is_skipped_once_has_changed() -> None:
    assert repeated({"test_a.py::test_usage[{}]": "psp"}).unexpected() == [
        "run 1: test_a.py::test_usage[2-3] skipped (first: passed): seen 2"
    ]


def test_a_repetition_without_a_result() -> None:
    found = repeated({"test_a.py::test_usage[{}]": "pp"})
    assert found.unexpected() == ["run 1: test_a.py::test_usage[3-3] has no result"]


def test_a_test_of_which_no_repetition_has_a_result() -> None:
    found = repeated({"test_a.py::test_usage[{}]": "ppp", "test_a.py::test_swap[{}]": ""})
    assert found.unexpected() == [f"run 1: test_a.py::test_swap[{number}-3] has no result" for number in (1, 2, 3)]


def test_repetitions_in_several_boots_are_named() -> None:
    found = repeated({"test_a.py::test_usage[{}]": "ppp"}, consoles="aab").report()
    assert "run 1: test_a.py::test_usage was repeated in 2 boots, not in one" in found


@pytest.mark.parametrize(
    ("name", "test"),
    [("f[3-50]", "f"), ("f[x-3-50]", "f[x]"), ("f[x-3-5]", "f[x-3-5]"), ("f[13-50-1-50]", "f[13-50]"), ("f", "f")],
)
def test_the_test_of_a_repetition(name: str, test: str) -> None:
    assert Manner(repeat=50).test(name) == test
    assert Manner().test(name) == name


def test_a_repeated_run_is_frantic_and_keeps_a_file_of_tests_in_one_vm(
    asked: Callable[[Manner, int], list[Asked]],
) -> None:
    manner = Manner("kfunc", workers=2, keyword="usage", repeat=50, frantic=True)
    (only,) = asked(manner, 1)
    assert only.words[: only.words.index("-q")] == [
        "-m",
        "kfunc",
        "-k",
        "usage",
        "--frantic",
        "--count",
        "50",
        "-n",
        "2",
        "--dist",
        "loadfile",
    ]


def test_repetition_by_pytest_names_each_and_has_them_follow_each_other(judge: Judge, image: Path) -> None:
    """What pytest-repeat makes of our tests, those with parameters and those with programs of BPF among them."""
    done = judge("--kernel", image, "--count", "2", "--collect-only", "-q", tests="selftests")
    names = [line.rpartition("/")[2] for line in done.text.splitlines() if "::" in line]
    assert names[::2], done.text
    for first, second in zip(names[::2], names[1::2], strict=True):
        assert Manner(repeat=2).test(first) == Manner(repeat=2).test(second) != first
        assert (first[-4:], second[-4:]) == ("1-2]", "2-2]")


def test_a_frantic_machine_is_a_vm(judge: Judge) -> None:
    done = judge("--target", "local", "--frantic")
    assert (done.status, "--frantic is for VMs" in done.text) == (4, True), done.text


@pytest.fixture
def asked(tmp_path: Path) -> Callable[[Manner, int], list[Asked]]:
    """Have that many runs made in a manner, by a pytest that does nothing: what each was asked."""

    def ask(manner: Manner, runs: int) -> list[Asked]:
        found: list[Asked] = []

        def run(_kernel: str, _folder: Path, words: Sequence[str], _tests: Sequence[str]) -> Ended:
            found.append(Asked(list(words), running(BUSY)))
            return Ended(0, "", None)

        kernel = Kernel.__new__(Kernel)
        for name in ("spec", "name", "release", "image_digest"):
            object.__setattr__(kernel, name, "7.2")
        facts = Facts((), frozenset(), frozenset(), memcg=True, btf_size=0, unknown_kfuncs=frozenset({"bpf_new"}))
        object.__setattr__(kernel, "facts", facts)
        flakes(kernel, Accelerator("tcg", "", 1), runs, manner, Trials(run, tmp_path), lambda _: None)
        return found

    return ask


def running(argv: tuple[str, ...]) -> int:
    """How many children of this process run that command, once each has become what it was started as."""

    def commands() -> list[bytes]:
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        folders = [Path(f"/proc/{child}") for child in children]
        # The state follows the name, which may hold anything. The dead have no command line and get none any more.
        living = [it for it in folders if (it / "stat").read_bytes().rpartition(b") ")[2][:1] != b"Z"]
        return [(it / "cmdline").read_bytes() for it in living]

    ours = Path("/proc/self/cmdline").read_bytes()
    # In the midst of execve() a command line is empty: the new address space is there, but no argument yet.
    unborn = {ours, b""}
    found = wait_until(commands, until=unborn.isdisjoint, seconds=60, what="every child's own command line")
    return found.count("\0".join(argv).encode() + b"\0")


def test_what_no_test_knows_is_no_flake(asked: Callable[[Manner, int], list[Asked]]) -> None:
    assert [it.words.count("--accept-kfunc=bpf_new") for it in asked(Manner(), 2)] == [1, 1]


def test_every_other_run_has_several_vms(asked: Callable[[Manner, int], list[Asked]]) -> None:
    words = [it.words[: it.words.index("-q")] for it in asked(Manner("kfunc", workers=2), 3)]
    assert words == [["-m", "kfunc"], ["-m", "kfunc", "-n", "2"], ["-m", "kfunc"]]


def test_the_host_is_busy_during_each_run_and_not_after(asked: Callable[[Manner, int], list[Asked]]) -> None:
    assert [it.busy for it in asked(Manner(busy=2), 2)] == [2, 2]
    assert running(BUSY) == 0
