# SPDX-License-Identifier: GPL-2.0-only
"""The commit that fixed something is found as the one that broke it, with good and bad exchanged."""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from kfunctest import shell
from kfunctest.bisect import __main__ as entry
from kfunctest.bisect import options as commands
from kfunctest.bisect import report, step
from kfunctest.bisect.check_endpoints import NotProven
from kfunctest.bisect.trials import Selection
from kfunctest.bisect.types import BREAK, FIX, Terms
from kfunctest.errors import SpecError
from kfunctest.trial.suite import Ended
from tests import bisecting, fakesource
from tests.bisecting import BASE, Bisected, MirroredSuite, PlayedBuilds, PlayedSuite, long_history, memcontrol
from tests.gating import A, B, C
from tests.histories import Writer

CHECKOUT = Path(__file__).resolve().parents[1]
BAD = memcontrol("b=failed")


@pytest.fixture
def linux(tmp_path: Path, cache_here: Path) -> Path:
    """The tree of long_history(), in which c137 fixes what a mirrored suite finds."""
    long_history(tmp_path / "linux")
    return tmp_path / "linux"


@pytest.fixture
def fixed(tmp_path: Path, cache_here: Path) -> Path:
    """A tree of seven commits, in which c4 fixes b."""
    linear(tmp_path / "linux", *(memcontrol("b=failed" if number < 4 else "", number) for number in range(7)))
    return tmp_path / "linux"


def linear(tree: Path, *contents: str) -> dict[str, str]:
    """Commits c0, c1, ... with these contents of mm/memcontrol.c."""
    writer = Writer(tree)
    for number, content in enumerate(contents):
        writer.commit(f"c{number}", {**({} if number else BASE), "mm/memcontrol.c": content})
    return writer.write()


def fix(tree: Path, bad: str, good: str, suite: PlayedSuite, **more: object) -> Bisected:
    """Look for the fix between these."""
    wanted = bisecting.asked(tree, tree.parent / "results", good, bad, terms=FIX, **more)
    return bisecting.run(wanted, PlayedBuilds(tree, tree.parent / "played"), suite)


def test_the_first_good_commit_is_found_among_ranges_that_cannot_be_tested(linux: Path) -> None:
    found = fix(linux, "main~200", "main", MirroredSuite())
    assert (found.culprit, found.status) == ("c137", commands.GOOD)
    assert (found.report["find"], found.report["confirmed"], found.report["culprit"]) == ("fix", True, None)
    assert found.notes == "", "nothing contradicted it"
    assert {step["verdict"] for step in found.steps} == {"good", "bad", "untestable"}
    text = found.text(report.MARKDOWN)
    assert text.startswith("# Fixed by ")
    assert '("c137")' in text.splitlines()[0]
    assert f"`{B}` fails on its parent, and passes there" in text
    assert "expected 4096, seen 1" in text
    assert "| fix |" in text
    assert "culprit" not in text


def test_git_replays_the_log_of_a_fix(fixed: Path) -> None:
    found = fix(fixed, "main~6", "main", PlayedSuite())
    fakesource.git(fixed, "reset", "--hard", "--quiet")
    said = fakesource.git(fixed, "bisect", "replay", found.folder / report.LOG)
    fixed_by = found.report["fixed_by"]
    assert isinstance(fixed_by, dict)
    assert f"{fixed_by['id']} is the first fixed commit" in said
    assert "--no-checkout" not in found.text(report.LOG)


def test_the_mail_says_what_it_was_fixed_by_and_is_no_report_of_a_regression(fixed: Path) -> None:
    text = fix(fixed, "main~6", "main", PlayedSuite()).text("mail.txt")
    head, _, body = text.partition("\n\n")
    assert "Subject: [FIXED] c4" in head
    assert "To: A U Thor <author@example.org>" in head
    assert "regression" not in text.casefold()
    assert "regzbot" not in text
    words = " ".join(body.split())
    assert "was fixed by " in words
    assert f"On its parent it fails: {B}" in words
    assert "with its parent built in LINUX" in words
    assert "git bisect fixed" in body


def test_tests_that_an_earlier_commit_fixed_are_named(tmp_path: Path, cache_here: Path) -> None:
    tree = tmp_path / "linux"
    marks = ["a=failed b=failed c=failed", "a=failed b=failed c=failed", "a=failed b=failed", "a=failed", "a=failed"]
    linear(tree, *(memcontrol(each, number) for number, each in enumerate(marks)))
    found = fix(tree, "main~4", "main", PlayedSuite())
    assert (found.culprit, found.status, found.report["other_tests"]) == ("c3", commands.GOOD, [C])
    assert "Another commit seems to have fixed these, for they pass on its parent" in found.text(report.MARKDOWN)
    assert isinstance(ends := found.report["ends"], dict)
    assert ends["void"] == [A], "it fails at both ends"


@pytest.mark.parametrize("seed", range(2))
def test_what_failed_one_run_in_two_before_it_was_fixed_is_found(tmp_path: Path, cache_here: Path, seed: int) -> None:
    tree = tmp_path / "linux"
    ids = linear(tree, *(memcontrol("b=flaky" if number < 5 else "", number) for number in range(9)))
    found = fix(tree, "main~8", "main", PlayedSuite(seed), tries=10)
    assert (found.culprit, found.status) == ("c5", commands.GOOD)
    lines = [json.loads(line) for line in found.text("judged.jsonl").splitlines()]
    again = [line["trial"] for line in lines if line.get("trial", {}).get("purpose") == "again"]
    ends = {
        commit: [trial["outcomes"][B] for trial in again if trial["commit"] == ids[commit]] for commit in ("c4", "c5")
    }
    assert ends["c5"] == ["passed"] * 10, "what should be good is run as often as asked for"
    assert ends["c4"].index("failed") == len(ends["c4"]) - 1, "what should be bad until it is bad"


def test_a_fix_that_does_not_hold_when_run_again_is_not_the_last_word(tmp_path: Path, cache_here: Path) -> None:
    tree = tmp_path / "linux"
    linear(tree, *(memcontrol("b=failed" if number < 3 else "", number) for number in range(5)))

    class Lies(PlayedSuite):
        """The first time that it is asked of c2 it lies."""

        def __call__(self, kernel: str, folder: Path, words: Sequence[str], tests: Sequence[str]) -> Ended:
            if " 2 " in (Path(kernel) / "vmlinuz").read_text() and not self.lied:
                self.lied = True
                return bisecting.leave(folder, (self._result(B, {}),))
            return super().__call__(kernel, folder, words, tests)

        lied = False

    found = fix(tree, "main~4", "main", Lies(), tries=3)
    assert (found.culprit, found.status) == ("c3", commands.GOOD)
    assert found.notes.count("began anew") == 1


def test_a_range_that_cannot_be_tested_holds_the_fix(tmp_path: Path, cache_here: Path) -> None:
    tree = tmp_path / "linux"
    linear(tree, *(memcontrol(each, number) for number, each in enumerate(["b=failed", "boot=no", "boot=no", ""])))
    found = fix(tree, "main~3", "main", PlayedSuite())
    assert found.status == commands.UNTESTABLE
    assert "The fix is one of 3 commits" in found.text(report.MARKDOWN)
    assert found.text("mail.txt") == ""


def test_a_good_end_that_is_bad_is_an_error_for_no_older_commit_can_be_the_fixed_one(
    tmp_path: Path, cache_here: Path
) -> None:
    tree = tmp_path / "linux"
    ids = linear(tree, memcontrol(""), BAD, f"{BAD} ")
    with pytest.raises(NotProven, match=rf"the good end {ids['c2'][:12]} .* is not good: 1 of 1 tests") as refused:
        fix(tree, "main~1", "main", PlayedSuite())
    assert refused.value.remedy == "name a newer commit with --good"


@pytest.mark.parametrize(
    "terms, other",
    [(BREAK, "was it fixed since? see --find fix"), (FIX, "was it broken since? leave --find fix out")],
)
def test_a_bad_end_that_is_good_may_be_the_other_of_the_two(
    tmp_path: Path, cache_here: Path, terms: Terms, other: str
) -> None:
    tree = tmp_path / "linux"
    contents = [BAD, memcontrol("")] if terms is BREAK else [memcontrol(""), BAD]
    linear(tree, *contents)
    ends = ("main~1", "main") if terms is BREAK else ("main", "main~1")
    wanted = bisecting.asked(tree, tmp_path / "results", *ends, terms=terms)
    with pytest.raises(NotProven, match="is not bad") as refused:
        bisecting.run(wanted, PlayedBuilds(tree, tmp_path / "played"), PlayedSuite())
    assert refused.value.remedy.endswith(other)


def random_history(tree: Path, seed: int) -> int:
    """From 2 to 21 commits, of which one breaks b, and some cannot be tested or touch nothing; returns their number."""
    choose = random.Random(seed)
    last = choose.randint(1, 20)
    culprit = choose.randint(1, last)
    writer = Writer(tree)
    writer.commit("c0", BASE)
    stale = False
    for number in range(1, last + 1):
        kind = choose.choice(["built", "built", "boots not", "builds not", "text", "driver"])
        if number in (culprit, last) or (stale and kind in ("text", "driver")):
            kind = "built"
        marks = "boot=no" if kind == "boots not" else "b=failed" if number >= culprit else ""
        compiled = {"mm/memcontrol.c": memcontrol(marks, number), "kernel/fork.c": f"int fork{number};\n"}
        files = {
            "builds not": {"kernel/fork.c": "#error\n"},
            "text": {"Documentation/a.rst": f"{number}\n"},
            "driver": {"drivers/net/nic.c": f"int nic{number};\n"},
        }.get(kind, compiled)
        stale = kind in ("boots not", "builds not")
        writer.commit(f"c{number}", files)
    writer.write()
    return last


def outcome(found: Bisected) -> tuple[object, ...]:
    return found.culprit, found.report["suspects"], found.status, found.report["confirmed"]


@pytest.mark.parametrize("seed", range(12))
def test_a_fix_is_found_where_a_break_is_with_as_many_builds(tmp_path: Path, cache_here: Path, seed: int) -> None:
    """On the same commits, by a suite that finds the opposite of each."""
    tree = tmp_path / "linux"
    first = f"main~{random_history(tree, seed)}"
    breaks, fixes = (PlayedBuilds(tree, tmp_path / name) for name in ("breaks", "fixes"))
    broken = bisecting.run(bisecting.asked(tree, tmp_path / "a", first, "main"), breaks, PlayedSuite())
    wanted = bisecting.asked(tree, tmp_path / "b", "main", first, terms=FIX)
    fixed = bisecting.run(wanted, fixes, MirroredSuite())
    assert outcome(fixed) == outcome(broken)
    assert Counter(fixes.made) == Counter(breaks.made)
    other = {"good": "bad", "bad": "good"}
    verdicts = [(step["commit"], step["verdict"]) for step in broken.steps]
    assert [(step["commit"], other.get(step["verdict"], step["verdict"])) for step in fixed.steps] == verdicts


@pytest.mark.parametrize("seed", range(6))
def test_backwards_a_break_is_a_fix(tmp_path: Path, cache_here: Path, seed: int) -> None:
    choose = random.Random(seed)
    last = choose.randint(1, 20)
    culprit = choose.randint(1, last)
    contents = [memcontrol("b=failed" if number >= culprit else "", number) for number in range(last + 1)]
    linear(tmp_path / "there" / "linux", *contents)
    linear(tmp_path / "back" / "linux", *reversed(contents))
    tree = tmp_path / "there" / "linux"
    wanted = bisecting.asked(tree, tmp_path / "results", f"main~{last}", "main")
    assert bisecting.run(wanted, PlayedBuilds(tree, tmp_path / "p"), PlayedSuite()).culprit == f"c{culprit}"
    found = fix(tmp_path / "back" / "linux", f"main~{last}", "main", PlayedSuite())
    assert found.culprit == f"c{last - culprit + 1}"


@pytest.mark.parametrize("marks, status", [("", 1), ("b=failed", 0), ("boot=no", 125)])
def test_a_step_that_looks_for_a_fix_ends_with_gits_status_for_the_other_side(
    tmp_path: Path, cache_here: Path, marks: str, status: int
) -> None:
    ids = linear(tmp_path / "linux", memcontrol(marks))
    builds = PlayedBuilds(tmp_path / "linux", tmp_path / "played")
    assert step.judged(ids["c0"], builds, PlayedSuite(), Selection(), tmp_path / "state", 1, FIX) == status


def test_git_bisect_run_finds_the_fix_by_steps(fixed: Path, tmp_path: Path) -> None:
    fakesource.git(fixed, "reset", "--hard", "--quiet")
    script = tmp_path / "step.py"
    script.write_text(
        f"import sys\nsys.path.insert(0, {str(CHECKOUT)!r})\nfrom pathlib import Path\n"
        "from kfunctest.bisect import step\nfrom kfunctest.bisect.types import FIX\n"
        "from kfunctest.bisect.trials import Selection\nfrom tests.bisecting import PlayedBuilds, PlayedSuite\n"
        f"tree, state = Path({str(fixed)!r}), Path({str(tmp_path / 'state')!r})\n"
        "commit, builds = step._commit(tree), PlayedBuilds(tree, state)\n"
        "sys.exit(step.judged(commit, builds, PlayedSuite(), Selection(), state, 1, FIX))\n"
    )
    fakesource.git(fixed, "bisect", "start", "--term-old=broken", "--term-new=fixed", "main", "main~6")
    said = fakesource.git(fixed, "bisect", "run", sys.executable, script)
    assert f"{fakesource.git(fixed, 'rev-parse', 'main~2')} is the first fixed commit" in said


@pytest.mark.parametrize(
    "words, terms, said",
    [
        (("--term-old=broken", "--term-new=fixed"), BREAK, "add --find fix"),
        ((), FIX, "start it with git bisect start --term-old=broken --term-new=fixed"),
        (("--term-old=broken", "--term-new=fixed"), FIX, ""),
        ((), BREAK, ""),
        (("--term-old=old", "--term-new=new"), FIX, ""),
    ],
)
def test_a_step_in_a_bisection_for_the_other_of_the_two_is_rejected(
    fixed: Path, words: tuple[str, ...], terms: Terms, said: str
) -> None:
    fakesource.git(fixed, "reset", "--hard", "--quiet")
    step.check_terms(fixed, terms)
    fakesource.git(fixed, "bisect", "start", *words, "main", "main~6")
    if not said:
        step.check_terms(fixed, terms)
        return
    with pytest.raises(SpecError) as refused:
        step.check_terms(fixed, terms)
    assert refused.value.remedy == said


def test_the_command_line_names_what_is_looked_for(
    fixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--tree", str(fixed), "--good", "main~6", "--bad", "main", "--results", str(tmp_path / "results")]
    assert entry.main([*words, "--find", "fix"]) == shell.GIT_ABORT + 4
    assert capsys.readouterr().err.endswith("to find what broke it, leave --find fix out; else swap the two\n")
