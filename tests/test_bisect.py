# SPDX-License-Identifier: GPL-2.0-only
"""Which commit a bisection finds, on histories of played kernels; what it runs for that, and what it leaves."""

from __future__ import annotations

import json
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from kfunctest import proc
from kfunctest.bisect import options as commands
from kfunctest.bisect import report
from kfunctest.bisect.check_endpoints import NotProven
from kfunctest.errors import InfraError
from kfunctest.trial.suite import Ended
from tests import bisecting, fakesource
from tests.bisecting import BASE, PlayedBuilds, PlayedSuite, long_history, memcontrol
from tests.gating import A, B, C
from tests.histories import Writer

CHECKOUT = Path(__file__).resolve().parents[1]


@pytest.fixture
def linux(tmp_path: Path, cache_here: Path) -> Path:
    """A tree of 200 commits; see long_history()."""
    long_history(tmp_path / "linux")
    return tmp_path / "linux"


@pytest.fixture
def builds(linux: Path, tmp_path: Path) -> PlayedBuilds:
    return PlayedBuilds(linux, tmp_path / "played")


def short(tree: Path, *contents: str, path: str = "mm/memcontrol.c") -> dict[str, str]:
    """A history of commits c0, c1, ... with these contents of a file."""
    writer = Writer(tree)
    writer.commit("c0", {**BASE, path: contents[0]})
    for number, content in enumerate(contents[1:], 1):
        writer.commit(f"c{number}", {path: content})
    return writer.write()


def test_the_first_bad_commit_is_found_among_ranges_that_cannot_be_tested(
    linux: Path, builds: PlayedBuilds, tmp_path: Path
) -> None:
    found = bisecting.run(bisecting.asked(linux, tmp_path / "results", "main~200", "main"), builds, PlayedSuite())
    assert (found.culprit, found.status) == ("c137", commands.GOOD)
    assert found.report["confirmed"] is True
    assert {step["verdict"] for step in found.steps} == {"good", "bad", "untestable"}


@pytest.mark.parametrize("good, bad", [("main~125", "main~40"), ("main~128", "main~55"), ("main~90", "main")])
def test_it_is_found_from_other_ends(linux: Path, builds: PlayedBuilds, tmp_path: Path, good: str, bad: str) -> None:
    found = bisecting.run(bisecting.asked(linux, tmp_path / "results", good, bad), builds, PlayedSuite())
    assert found.culprit == "c137"


def test_commits_that_cannot_touch_what_is_built_are_not_built(
    linux: Path, builds: PlayedBuilds, tmp_path: Path
) -> None:
    wanted = bisecting.asked(linux, tmp_path / "results", "main~200", "main")
    found = bisecting.run(wanted, builds, PlayedSuite())
    argued = [step for step in found.steps if step["same_as"]]
    all_built = bisecting.run(
        bisecting.asked(linux, tmp_path / "others", "main~200", "main", argues=False),
        every := PlayedBuilds(linux, tmp_path / "every"),
        PlayedSuite(),
    )
    assert all_built.culprit == found.culprit
    assert len(set(builds.made)) < len(set(every.made))
    assert argued != []
    assert all("the build reads none of them" in step["argument"] for step in argued)
    assert "of documentation, tests" in found.text(report.MARKDOWN), "the argument is recorded"


def test_one_image_is_run_once(linux: Path, builds: PlayedBuilds, tmp_path: Path) -> None:
    suite = PlayedSuite()
    wanted = bisecting.asked(linux, tmp_path / "results", "main~200", "main", argues=False)
    found = bisecting.run(wanted, builds, suite)
    trials = [json.loads(line)["trial"] for line in found.text("judged.jsonl").splitlines() if '"trial"' in line]
    once = [trial["image"] for trial in trials if trial["purpose"] != "again"]
    assert len(once) == len(set(once)), "an image was run twice before the last look"
    assert any("and not run" in str(step["how"]) for step in found.steps)


def test_only_tests_that_separate_the_ends_are_run_on_the_way(tmp_path: Path, cache_here: Path) -> None:
    tree = tmp_path / "linux"
    marks = ["a=failed", "a=failed", "a=failed b=failed", "a=failed b=failed c=failed"]
    short(tree, *(memcontrol(each, number) for number, each in enumerate(marks)))
    suite = PlayedSuite()
    found = bisecting.run(
        bisecting.asked(tree, tmp_path / "results", "main~3", "main"), PlayedBuilds(tree, tmp_path / "p"), suite
    )
    assert found.culprit == "c2"
    assert suite.asked[:2] == [("selftests",), (A, B, C)], "the good end is asked for what fails at the bad end"
    assert set(suite.asked[2:]) == {(B, C)}, "a test that fails at both ends has no vote"
    assert found.report["other_tests"] == [C], "the test that another commit broke is named"
    assert A in found.text(report.MARKDOWN)


def test_on_the_way_one_bad_test_is_enough_the_quickest_and_the_culprit_is_run_to_the_end(
    tmp_path: Path, cache_here: Path
) -> None:
    tree = tmp_path / "linux"
    marks = ["", "", "", "a=crashed b=failed c=failed", "a=failed b=failed c=failed", "a=crashed b=failed c=failed"]
    short(tree, *(memcontrol(each, number) for number, each in enumerate(marks)))
    suite = PlayedSuite(seconds={A: 1.0, B: 30.0, C: 5.0})
    found = bisecting.run(
        bisecting.asked(tree, tmp_path / "results", "main~5", "main", tries=2),
        PlayedBuilds(tree, tmp_path / "p"),
        suite,
    )
    assert (found.culprit, found.report["other_tests"]) == ("c3", [])
    ends, way, last = suite.ran[:4], suite.ran[4:-2], suite.ran[-2:]
    assert ends == [(A, B, C), (C, B, A), (C, B, A), (C,)], "the bad end; what failed there at the good one, twice; bad"
    assert set(way) == {(C,), (C, B, A)}, "one that failed at once, or all that pass"
    assert last == [(C, B, A), (C, B, A)], "the culprit and its parent"


def test_a_few_tests_that_fail_at_the_bad_end_are_enough(
    tmp_path: Path, cache_here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kfunctest.bisect.check_endpoints.ENOUGH", 2)
    tree, suite = tmp_path / "linux", PlayedSuite()
    short(tree, *(memcontrol(each, number) for number, each in enumerate(["", "", "a=failed b=failed c=failed"])))
    wanted = bisecting.asked(tree, tmp_path / "results", "main~2", "main")
    found = bisecting.run(wanted, PlayedBuilds(tree, tmp_path / "p"), suite)
    assert (found.culprit, suite.ran[0]) == ("c2", (A, B))
    assert set(suite.asked[1:]) == {(A, B)}


def test_where_the_first_that_fail_at_the_bad_end_fail_at_the_good_one_all_are_asked(
    tmp_path: Path, cache_here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kfunctest.bisect.check_endpoints.ENOUGH", 2)
    tree, suite = tmp_path / "linux", PlayedSuite()
    marks = ["a=failed b=failed", "a=failed b=failed", "a=failed b=failed c=failed"]
    short(tree, *(memcontrol(each, number) for number, each in enumerate(marks)))
    wanted = bisecting.asked(tree, tmp_path / "results", "main~2", "main")
    found = bisecting.run(wanted, PlayedBuilds(tree, tmp_path / "p"), suite)
    assert (found.culprit, suite.ran[:4]) == ("c2", [(A, B), (A, B), (A, B, C), (A, B, C)])
    assert isinstance(ends := found.report["ends"], dict)
    assert ends["void"] == [A, B]
    runs, log = suite.runs, found.folder / "judged.jsonl"
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:-1]))  # as if it was killed before its report
    assert bisecting.run(wanted, PlayedBuilds(tree, tmp_path / "p"), suite).culprit == "c2"
    assert suite.runs == runs, "what is known is not run again"
    assert bisecting.run(wanted, PlayedBuilds(tree, tmp_path / "p"), suite).culprit == "c2"
    assert suite.runs == 2 * runs, "a bisection that has ended is not resumed"


def test_a_crash_of_the_kernel_is_bad_and_one_that_does_not_boot_is_untestable(
    tmp_path: Path, cache_here: Path
) -> None:
    tree = tmp_path / "linux"
    marks = ["", "", "boot=no", "", "b=crashed", "b=crashed", "boot=no", "b=hung"]
    short(tree, *(memcontrol(each, number) for number, each in enumerate(marks)))
    found = bisecting.run(
        bisecting.asked(tree, tmp_path / "results", "main~7", "main"), PlayedBuilds(tree, tmp_path / "p"), PlayedSuite()
    )
    assert found.culprit == "c4"


def test_what_cannot_be_tested_leaves_a_range(tmp_path: Path, cache_here: Path) -> None:
    tree = tmp_path / "linux"
    short(tree, *(memcontrol(each, number) for number, each in enumerate(["", "boot=no", "boot=no", "b=failed"])))
    found = bisecting.run(
        bisecting.asked(tree, tmp_path / "results", "main~3", "main"), PlayedBuilds(tree, tmp_path / "p"), PlayedSuite()
    )
    assert found.status == commands.UNTESTABLE
    assert len(found.report["suspects"]) == 3  # type: ignore[arg-type]
    assert "one of 3 commits" in found.text(report.MARKDOWN)


def test_a_commit_before_the_kfuncs_is_untestable_and_their_loss_is_bad(tmp_path: Path, cache_here: Path) -> None:
    tree = tmp_path / "linux"
    everything = BASE["kfuncs"]
    without = " ".join(everything.split()[1:])
    short(tree, everything, f"{everything} ", f"{everything}  ", "", " ", path="kfuncs")
    found = bisecting.run(
        bisecting.asked(tree, tmp_path / "results", "main~4", "main"), PlayedBuilds(tree, tmp_path / "p"), PlayedSuite()
    )
    assert found.culprit == "c3", "a kernel that lost all of them is bad where the bad end has none"
    writer = Writer(other := tmp_path / "other")
    writer.commit("c0", BASE)
    writer.commit("c1", {"kfuncs": without})
    writer.commit("c2", {"kfuncs": f"{without} "})
    writer.commit("c3", {"kfuncs": everything})
    writer.commit("c4", {"mm/memcontrol.c": memcontrol("a=failed")})
    writer.write()
    found = bisecting.run(
        bisecting.asked(other, tmp_path / "results", "main~4", "main"),
        PlayedBuilds(other, tmp_path / "q"),
        PlayedSuite(),
    )
    assert found.culprit == "c4"
    assert {step["verdict"] for step in found.steps if "which both ends have" in step["reason"]} == {"untestable"}


def test_a_good_end_that_is_bad_is_told_and_an_older_one_is_taken(
    linux: Path, builds: PlayedBuilds, tmp_path: Path
) -> None:
    found = bisecting.run(bisecting.asked(linux, tmp_path / "results", "main~45", "main"), builds, PlayedSuite())
    assert found.culprit == "c137"
    replaced = found.report["replaced_good"]
    assert isinstance(replaced, list)
    assert "fail there, too" in replaced[1]
    assert "was said to be good, and is not" in found.text(report.MARKDOWN)


def test_ends_that_nothing_separates_end_it(linux: Path, builds: PlayedBuilds, tmp_path: Path) -> None:
    with pytest.raises(NotProven, match=r"the bad end .* is not bad: 3 tests pass"):
        bisecting.run(bisecting.asked(linux, tmp_path / "results", "main~200", "main~100"), builds, PlayedSuite())
    tree = tmp_path / "bad"
    short(tree, memcontrol("a=failed"), memcontrol("a=failed", 1))
    wanted = bisecting.asked(tree, tmp_path / "results", "main~1", "main")
    with pytest.raises(NotProven, match=r"the good end .* is not good, and nothing before it"):
        bisecting.run(wanted, PlayedBuilds(tree, tmp_path / "p"), PlayedSuite())


@pytest.mark.parametrize("seed", range(4))
def test_what_fails_one_run_in_two_is_found(tmp_path: Path, cache_here: Path, seed: int) -> None:
    tree = tmp_path / "linux"
    long_history(tree, marks="b=flaky")
    wanted = bisecting.asked(tree, tmp_path / "results", "main~200", "main", tries=10)
    found = bisecting.run(wanted, PlayedBuilds(tree, tmp_path / "played"), PlayedSuite(seed))
    assert (found.culprit, found.status) == ("c137", commands.GOOD)
    assert "passes for good with a" in found.text(report.MARKDOWN), "the risk is stated"


def test_a_culprit_that_does_not_hold_when_run_again_is_not_the_last_word(tmp_path: Path, cache_here: Path) -> None:
    tree = tmp_path / "linux"
    short(tree, *(memcontrol(each, number) for number, each in enumerate(["", "", "", "b=failed", "b=failed"])))

    class Lies(PlayedSuite):
        """The first time that it is asked of c2 it lies."""

        def __call__(self, kernel: str, folder: Path, words: Sequence[str], tests: Sequence[str]) -> Ended:
            text = (Path(kernel) / "vmlinuz").read_text()
            if " 2 " in text and not self.lied:
                self.lied = True
                return bisecting.leave(folder, (self._result(B, {"b": "failed"}),))
            return super().__call__(kernel, folder, words, tests)

        lied = False

    wanted = bisecting.asked(tree, tmp_path / "results", "main~4", "main", tries=3)
    found = bisecting.run(wanted, PlayedBuilds(tree, tmp_path / "p"), Lies())
    assert (found.culprit, found.status) == ("c3", commands.GOOD)
    assert any("began anew" in note for note in found.report["notes"])  # type: ignore[attr-defined]


def test_a_machine_that_breaks_stops_it_and_it_goes_on_from_there(
    linux: Path, builds: PlayedBuilds, tmp_path: Path
) -> None:
    wanted = bisecting.asked(linux, tmp_path / "results", "main~200", "main")
    whole = PlayedSuite()
    bisecting.run(bisecting.asked(linux, tmp_path / "others", "main~200", "main"), builds, whole)
    first, second = PlayedSuite(breaks_at=4), PlayedSuite()
    with pytest.raises(InfraError, match="qemu-system-x86_64 is not installed"):
        bisecting.run(wanted, builds, first)
    found = bisecting.run(wanted, builds, second)
    assert found.culprit == "c137"
    assert 3 + second.runs == whole.runs, "what was found before the machine broke was not asked again"
    builds.fails = InfraError("no space left")
    with pytest.raises(InfraError, match="no space left"):
        bisecting.run(bisecting.asked(linux, tmp_path / "results", "main~190", "main"), builds, PlayedSuite())


def test_killed_in_the_middle_it_goes_on_from_there(linux: Path, tmp_path: Path) -> None:
    argv: list[str | Path] = [sys.executable, "-m", "tests.bisecting", linux, tmp_path / "results", "main~200", "main"]
    killed = proc.run([*argv, "4"], seconds=120, cwd=CHECKOUT, check=False)
    assert killed.status == -signal.SIGKILL
    done = proc.run([*argv, "0"], seconds=120, cwd=CHECKOUT, check=False)
    assert done.status == commands.GOOD, done.stderr
    assert "3 runs of an earlier attempt are taken over" in done.stdout
    assert '("c137") is the first bad commit' in done.stdout


def test_a_kernel_that_left_the_cache_is_built_again(linux: Path, builds: PlayedBuilds, tmp_path: Path) -> None:
    wanted = bisecting.asked(linux, tmp_path / "results", "main~200", "main")
    with pytest.raises(InfraError):
        bisecting.run(wanted, builds, PlayedSuite(breaks_at=2))
    shutil.rmtree(tmp_path / "played" / "built")
    assert bisecting.run(wanted, builds, PlayedSuite()).culprit == "c137"


def test_the_users_tree_and_bisection_are_not_touched(linux: Path, builds: PlayedBuilds, tmp_path: Path) -> None:
    fakesource.git(linux, "reset", "--hard", "--quiet")
    fakesource.git(linux, "bisect", "start", "main", "main~30")
    before = fakesource.snapshot(linux)
    bisecting.run(bisecting.asked(linux, tmp_path / "results", "main~200", "main"), builds, PlayedSuite())
    assert fakesource.snapshot(linux) == before


def test_git_replays_the_log(linux: Path, builds: PlayedBuilds, tmp_path: Path) -> None:
    found = bisecting.run(bisecting.asked(linux, tmp_path / "results", "main~200", "main"), builds, PlayedSuite())
    fakesource.git(linux, "reset", "--hard", "--quiet")
    said = fakesource.git(linux, "bisect", "replay", found.folder / report.LOG)
    culprit = found.report["culprit"]
    assert isinstance(culprit, dict)
    assert f"{culprit['id']} is the first bad commit" in said
