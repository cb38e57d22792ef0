# SPDX-License-Identifier: GPL-2.0-only
"""What one run, and several, say of an image; and whose fault it is when they say nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from kfunctest.bisect import trials
from kfunctest.bisect.judge import Judge
from kfunctest.bisect.state import Memory
from kfunctest.bisect.trials import BETWEEN, PRESENCE, ImageTrials, Selection
from kfunctest.bisect.types import Ends, Kind, Made, Place, Purpose
from kfunctest.contract import ALL
from kfunctest.errors import InfraError, SpecError
from kfunctest.results import Outcome, Result, Untested
from kfunctest.trial.suite import Ended
from tests.bisecting import RELEASE, leave
from tests.gating import A, B, C

G, X, U = Kind.GOOD, Kind.BAD, Kind.UNTESTABLE
LOST = "QEMU was killed, or broke"
DEAD = "the kernel died while it booted: Attempted to kill init!"


@pytest.mark.parametrize(
    "kinds, flaky, tries, expected",
    [
        ([], False, 3, None),
        ([G], False, 3, G),
        ([X], False, 3, X),
        ([G, X], False, 3, None),
        ([G, X, X], False, 3, X),
        ([X, G, G], False, 3, G),
        ([X, G], False, 1, X),
        ([G], True, 3, None),
        ([G, G], True, 3, None),
        ([G, G, G], True, 3, G),
        ([G, G, X], True, 3, X),
        ([X], True, 3, X),
        ([U], True, 3, U),
        ([U, G], False, 3, G),
    ],
)
def test_several_runs_come_to_one_verdict(
    kinds: Sequence[Kind], flaky: bool, tries: int, expected: Kind | None
) -> None:
    assert trials.weigh(kinds, flaky=flaky, tries=tries) is expected


def result(test: str, outcome: str, message: str = "") -> Result:
    return Result(test, RELEASE, Outcome(outcome), phase="boot" if message == DEAD else "", message=message)


class Script:
    """A suite that comes to one thing after the other: results, or a status and what was said."""

    def __init__(self, *ends: tuple[Result, ...] | Ended) -> None:
        self.ends = list(ends)
        self.kernels: list[str] = []
        self.words: list[tuple[str, ...]] = []

    def __call__(self, kernel: str, folder: Path, words: Sequence[str], tests: Sequence[str]) -> Ended:
        self.kernels.append(Path(kernel).name)
        self.words.append(tuple(words))
        end = self.ends.pop(0)
        return end if isinstance(end, Ended) else leave(folder, end)


def judge(folder: Path, suite: Script) -> tuple[Judge, Ends]:
    """A judge that knows a good end and another commit, c."""
    memory = Memory(folder / "judged.jsonl")
    for commit in ("good", "c"):
        (folder / commit).mkdir()
        made = Made(str(folder / commit), commit, RELEASE, tuple(sorted(ALL)))
        memory.place(Place(commit, made=made))
    says: list[str] = []
    ends = Ends((A,), "good", kfuncs=tuple(sorted(ALL)))
    return Judge(None, ImageTrials(suite, folder / "runs"), memory, Selection(), says.append), ends  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "found, kind",
    [
        ([result(A, "passed")], G),
        ([result(A, "failed", "expected 1, seen 2")], X),
        ([result(A, "crashed", "the kernel panicked")], X),
        ([result(A, "hung")], X),
        ([result(A, "xpassed")], X),
        ([result(A, "skipped", "not applicable")], U),
        ([result(A, "passed"), result(B, "failed")], G),
        ([result(A, "crashed", DEAD)], U),
        ([replace(result(A, "crashed", "it is not the message that tells"), phase="boot")], U),
        ([result(A, "crashed", DEAD), result(B, "passed")], X),
    ],
)
def test_what_a_run_says_of_a_commit(tmp_path: Path, found: list[Result], kind: Kind) -> None:
    """Also: a test that boots a VM of its own may die at boot while another passes; that is bad."""
    judged, ends = judge(tmp_path, Script(tuple(found)))
    assert judged.verdict("c", ends).kind is kind


def test_what_may_be_the_machines_fault_is_asked_again_after_the_good_end(tmp_path: Path) -> None:
    suite = Script((result(A, "infra", LOST),), (result(A, "passed"),), (result(A, "failed", "expected 1"),))
    judged, ends = judge(tmp_path, suite)
    assert judged.verdict("c", ends).kind is X
    assert suite.kernels == ["c", "good", "c"]


@pytest.mark.parametrize("first", [("infra", LOST), ("crashed", DEAD)])
def test_a_run_that_ended_early_without_a_verdict_is_repeated_to_its_end(
    tmp_path: Path, first: tuple[str, str]
) -> None:
    """It ended at a test that nobody could judge, or whose own VM did not boot: the next one may still speak."""
    suite = Script(
        leave(tmp_path / "cut", (result(A, *first),), planned=[A, B]),
        (result(A, *first), result(B, "failed", "expected 1")),
    )
    judged, ends = judge(tmp_path, suite)
    assert judged.verdict("c", replace(ends, voters=(A, B))).kind is X
    assert (suite.kernels, suite.words) == (["c", "c"], [("--maxfail=1",), ()])


def test_a_test_that_fails_twice_ends_a_run_as_one_that_fails_once(tmp_path: Path) -> None:
    """By an assertion, and by what the kernel says when its memcg is removed."""
    twice = leave(tmp_path / "cut", (result(A, "failed", "expected 1"),), planned=[A, B], failures=2)
    judged, ends = judge(tmp_path, Script(twice))
    assert judged.verdict("c", replace(ends, voters=(A, B))).kind is X


@pytest.mark.parametrize(("outcome", "kind"), [("passed", G), ("failed", X), ("skipped", U)])
def test_what_no_test_knows_makes_no_commit_bad_and_is_noted(tmp_path: Path, outcome: str, kind: Kind) -> None:
    """A status of 3 is the machine's elsewhere, and would stop the bisection."""
    new = (Untested("bpf_new", "kfunc"),)
    suite = Script(leave(tmp_path / "run", (result(A, outcome), result(B, "passed")), untested=new))
    judged, ends = judge(tmp_path, suite)
    found = judged.verdict("c", ends)
    assert found.kind is kind
    assert kind is U or found.reason.endswith("; no test covers its kfunc bpf_new")
    assert Memory(tmp_path / "judged.jsonl").of("c")[0].untested == ("kfunc bpf_new",)


def test_a_run_that_ended_early_says_nothing_of_what_it_did_not_reach(tmp_path: Path) -> None:
    """As where a bisection goes on, and what was bad in that run has lost its vote meanwhile."""
    cut = leave(tmp_path / "cut", (result(A, "passed"), result(B, "failed", "expected 1")), planned=[A, B, C])
    judged, ends = judge(tmp_path, Script(cut, (result(A, "passed"), result(C, "failed", "expected 2"))))
    judged.trial(judged.memory.places["c"], Purpose.VOTE, replace(ends, voters=(A, B, C)), enough=1)
    assert judged.verdict("c", replace(ends, voters=(A, C))).kind is X


def test_a_run_that_ended_early_unasked_is_no_verdict(tmp_path: Path) -> None:
    suite = Script(leave(tmp_path / "stopped", (result(A, "failed", "expected 1"),), planned=[A, B]))
    judged, ends = judge(tmp_path, suite)
    with pytest.raises(InfraError, match="the run ended early: stopping after 1 failures"):
        judged.trial(judged.memory.places["c"], Purpose.AGAIN, replace(ends, voters=(A, B)))


def test_only_what_runs_one_test_after_the_other_is_ended_early() -> None:
    for words in (("-n", "2"), ("--accel", "tcg", "-d"), ("-qn2",)):
        assert Selection(words=words).only([A]).until(1) == Selection((A,), words)
    plain = Selection(words=("-k", "usage", "--accel", "tcg")).only([A])
    assert plain.until(1) == Selection((A,), ("--accel", "tcg"), 1)


def test_the_good_end_is_asked_for_all_parameters_since_it_may_lack_those_of_the_bad_end() -> None:
    assert Selection((f"{A}[NR_NEW]", f"{A}[NR_OLD]", B)).functions() == Selection((A, B))


def test_a_kernel_that_cannot_be_judged_where_the_good_end_can_is_untestable(tmp_path: Path) -> None:
    late = "the VM did not boot within 200 s"
    suite = Script((result(A, "infra", late),), (result(A, "passed"),), (result(A, "infra", late),))
    judged, ends = judge(tmp_path, suite)
    verdict = judged.verdict("c", ends)
    assert (verdict.kind, late in verdict.reason) == (U, True)


def test_a_machine_that_cannot_judge_the_good_end_either_stops_it_and_nothing_is_kept(tmp_path: Path) -> None:
    judged, ends = judge(tmp_path, Script((result(A, "infra", LOST),), (result(A, "infra", LOST),)))
    with pytest.raises(InfraError, match="this machine cannot judge any more, not even the good end"):
        judged.verdict("c", ends)
    assert judged.memory.of("c") == (), "a verdict of a broken machine must not be remembered"


@pytest.mark.parametrize(
    "ended, error",
    [
        ((3, "/dev/kvm broke"), InfraError),
        ((-9, "Killed"), InfraError),
        ((2, "interrupted"), InfraError),
        ((0, "nothing"), InfraError),
        ((4, "no such option"), SpecError),
        ((5, "no tests ran"), SpecError),
    ],
)
def test_a_run_without_results_is_no_verdict(tmp_path: Path, ended: tuple[int, str], error: type[Exception]) -> None:
    judged, ends = judge(tmp_path, Script(Ended(*ended, None)))
    with pytest.raises(error, match=ended[1]):
        judged.verdict("c", ends)


def test_a_kernel_without_the_kfuncs_is_not_run(tmp_path: Path) -> None:
    suite = Script()
    made = Made(str(tmp_path), "bare", RELEASE, ())
    trial = ImageTrials(suite, tmp_path).trial(made, "c", Purpose.WHOLE, Selection())
    assert trial.outcomes == {PRESENCE: "failed"}


def test_tests_that_vote_are_run_alone_unless_one_is_none() -> None:
    every = Selection(("selftests",), ("-k", "usage", "--accel", "tcg"))
    assert every.only([A, B]) == Selection((A, B), ("--accel", "tcg"))
    assert every.only([A, PRESENCE]).tests == (A,)
    assert every.only([A, BETWEEN]) == every, "what is said between tests is heard only among them"
    assert every.only([PRESENCE]) == every


def test_a_memory_that_was_torn_keeps_what_is_whole(tmp_path: Path) -> None:
    judged, ends = judge(tmp_path, Script((result(A, "passed"),)))
    judged.verdict("c", ends)
    file = tmp_path / "judged.jsonl"
    before = file.read_bytes()
    file.write_bytes(before + b'{"trial": {"image": "c", "com')
    again = Memory(file)
    assert (set(again.places), again.recalled) == ({"good", "c"}, 1)
    assert file.read_bytes() == before, "what is appended next must not continue a torn line"
