# SPDX-License-Identifier: GPL-2.0-only
"""scripts/bisect step: the statuses that git bisect run expects."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from kfunctest.bisect import __main__ as entry
from kfunctest.bisect import step
from kfunctest.bisect.options import BAD, GOOD, UNTESTABLE
from kfunctest.bisect.trials import Selection
from kfunctest.errors import EXIT_INFRA, EXIT_USAGE, InfraError
from kfunctest.shell import GIT_ABORT as ABORT
from tests import bisecting, fakesource
from tests.bisecting import BASE, PlayedBuilds, PlayedSuite, memcontrol
from tests.histories import Writer

CHECKOUT = Path(__file__).resolve().parents[1]


@pytest.fixture
def commits(tmp_path: Path) -> dict[str, str]:
    """A tree with a commit of each kind."""
    writer = Writer(tmp_path / "linux")
    writer.commit("good", BASE)
    writer.commit("bad", {"mm/memcontrol.c": memcontrol("b=failed")})
    writer.commit("crashes", {"mm/memcontrol.c": memcontrol("b=crashed")})
    writer.commit("unbootable", {"mm/memcontrol.c": memcontrol("boot=no")})
    writer.commit("unbuildable", {"kernel/fork.c": "#error\n"})
    writer.commit("without", {"kernel/fork.c": "", "kfuncs": "", "mm/memcontrol.c": memcontrol("")})
    writer.commit("flaky", {"kfuncs": BASE["kfuncs"], "mm/memcontrol.c": memcontrol("b=flaky")})
    writer.commit("unclear", {"mm/memcontrol.c": memcontrol("b=infra")})
    return writer.write()


@pytest.mark.parametrize(
    "which, status",
    [
        ("good", GOOD),
        ("bad", BAD),
        ("crashes", BAD),
        ("unbootable", UNTESTABLE),
        ("unbuildable", UNTESTABLE),
        ("without", UNTESTABLE),
    ],
)
def test_a_step_ends_with_the_status_that_git_bisect_run_expects(
    tmp_path: Path, cache_here: Path, commits: dict[str, str], which: str, status: int
) -> None:
    builds = PlayedBuilds(tmp_path / "linux", tmp_path / "played")
    suite = PlayedSuite()
    for _ in range(2):
        assert step.judged(commits[which], builds, suite, Selection(), tmp_path / "state", 1) == status
    assert suite.runs <= 1, "the second time its verdict was known"


def test_a_step_calls_no_commit_good_whose_tests_were_not_judged(
    tmp_path: Path, cache_here: Path, commits: dict[str, str]
) -> None:
    """It is run again, and in the end stops git bisect; nor is it good when the same step is run once more."""
    builds = PlayedBuilds(tmp_path / "linux", tmp_path / "played")
    suite = PlayedSuite()
    for runs in (2, 4):
        with pytest.raises(InfraError, match=r"test_b could not be judged twice"):
            step.judged(commits["unclear"], builds, suite, Selection(), tmp_path / "state", 1)
        assert suite.runs == runs


def test_a_step_repeats_what_may_be_flaky(tmp_path: Path, cache_here: Path, commits: dict[str, str]) -> None:
    builds = PlayedBuilds(tmp_path / "linux", tmp_path / "played")
    suite = PlayedSuite(seed=0)
    assert step.judged(commits["flaky"], builds, suite, Selection(), tmp_path / "state", 10) == BAD
    assert suite.runs > 1, "the seed is of no use: its first run is bad"


def test_git_bisect_run_finds_the_culprit_by_steps(tmp_path: Path, cache_here: Path) -> None:
    tree = tmp_path / "linux"
    ids = bisecting.long_history(tree)
    fakesource.git(tree, "reset", "--hard", "--quiet")
    script = tmp_path / "step.py"
    script.write_text(
        f"import sys\nsys.path.insert(0, {str(CHECKOUT)!r})\nfrom pathlib import Path\n"
        "from kfunctest.bisect import step\nfrom kfunctest.bisect.trials import Selection\n"
        "from tests.bisecting import PlayedBuilds, PlayedSuite\n"
        f"tree, state = Path({str(tree)!r}), Path({str(tmp_path / 'state')!r})\n"
        "sys.exit(step.judged(step._commit(tree), PlayedBuilds(tree, state), PlayedSuite(), Selection(), state, 1))\n"
    )
    fakesource.git(tree, "bisect", "start", "main", "main~200")
    said = fakesource.git(tree, "bisect", "run", sys.executable, script)
    assert f"{ids['c137']} is the first bad commit" in said


def test_what_says_nothing_of_a_commit_stops_git_bisect_run(
    tmp_path: Path, cache_here: Path, tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert entry.main(["step", "--tree", str(tmp_path)]) == ABORT + EXIT_USAGE
    with pytest.raises(SystemExit) as ended:
        entry.main(["step", "--no-such-option"])
    assert ended.value.code == ABORT + EXIT_USAGE
    for error in (InfraError("no space left on the disk"), OSError(28, "No space left"), ValueError("a bug")):

        def fail(*_: object, error: Exception = error) -> int:
            raise error

        monkeypatch.setattr(step, "judged", fail)
        assert entry.main(["step", "--tree", str(tree)]) == ABORT + EXIT_INFRA, error
    assert "no space left on the disk" in capsys.readouterr().err
