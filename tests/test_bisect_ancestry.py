# SPDX-License-Identifier: GPL-2.0-only
"""Revisions that enclose nothing, or not all, are rejected before anything is built; merge bases are tested first."""

from __future__ import annotations

from pathlib import Path

import pytest

from kfunctest.bisect import options as commands
from kfunctest.bisect.git_bisect import History
from kfunctest.bisect.types import BREAK, FIX, Terms
from kfunctest.errors import SpecError
from tests import bisecting, fakesource
from tests.bisecting import BASE, Bisected, MirroredSuite, PlayedBuilds, PlayedSuite, memcontrol
from tests.histories import Writer

OLD, NEW = memcontrol("a=skipped"), memcontrol("b=failed")


class Bench:
    """A tree to write, and fake builds of it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.tree = folder, folder / "linux"
        self.suite: PlayedSuite = PlayedSuite()
        self.made: list[str] = []

    def linear(self, *contents: str) -> dict[str, str]:
        """Commits c0, c1, ... with these contents of mm/memcontrol.c."""
        writer = Writer(self.tree)
        for number, content in enumerate(contents):
            writer.commit(f"c{number}", {**({} if number else BASE), "mm/memcontrol.c": content})
        return writer.write()

    def clone(self, *words: str) -> None:
        """Take a shallow clone for the tree."""
        origin = self.folder / "origin"
        self.tree.rename(origin)
        fakesource.git(origin, "config", "uploadpack.allowAnySHA1InWant", "true")
        fakesource.git(self.folder, "clone", "--quiet", *words, f"file://{origin}", self.tree)

    def bisect(self, good: str, bad: str, terms: Terms = BREAK) -> Bisected:
        wanted = bisecting.asked(self.tree, self.folder / "results", good, bad, terms=terms)
        builds = PlayedBuilds(self.tree, self.folder / "played")
        self.made = builds.made
        return bisecting.run(wanted, builds, self.suite)

    def rejected(self, good: str, bad: str, terms: Terms = BREAK) -> tuple[str, str]:
        """The problem and the remedy; nothing was built, and nothing is left."""
        with pytest.raises(SpecError) as refused:
            self.bisect(good, bad, terms)
        assert (self.made, self.suite.runs) == ([], 0)
        assert not (self.folder / "results").exists()
        return refused.value.problem, refused.value.remedy


@pytest.fixture
def bench(tmp_path: Path, cache_here: Path) -> Bench:
    return Bench(tmp_path)


@pytest.mark.parametrize("terms", [BREAK, FIX])
def test_the_same_commit_twice_is_rejected(bench: Bench, terms: Terms) -> None:
    ids = bench.linear(OLD, NEW)
    problem, _ = bench.rejected("main", "main~0", terms)
    assert problem == f'--good and --bad are the same commit {ids["c1"][:12]} ("c1")'


def test_revisions_the_wrong_way_round_are_rejected_and_the_remedy_names_find_fix(bench: Bench) -> None:
    ids = bench.linear(OLD, NEW, NEW + " ")
    problem, remedy = bench.rejected("main", "main~2")
    assert problem.startswith(f'--bad {ids["c0"][:12]} ("c0") is an ancestor of --good {ids["c2"][:12]} ("c2")')
    assert remedy == "to find what fixed it, add --find fix; else swap the two"
    problem, remedy = bench.rejected("main~2", "main", FIX)
    assert problem.startswith(f'--good {ids["c0"][:12]} ("c0") is an ancestor of --bad {ids["c2"][:12]} ("c2")')
    assert remedy == "to find what broke it, leave --find fix out; else swap the two"


def test_ids_of_either_kind_can_be_asked_about(bench: Bench) -> None:
    bench.tree.mkdir()
    fakesource.git(bench.tree, "init", "--quiet", "--object-format=sha256", "--initial-branch=main")
    bench.linear(OLD, NEW)
    assert "is an ancestor of" in bench.rejected("main", "main~1")[0]
    assert bench.bisect("main~1", "main").culprit == "c1"


def test_revisions_without_a_common_commit_are_rejected(bench: Bench) -> None:
    bench.linear(OLD, NEW)
    other = Writer(bench.tree, branch="other")
    other.commit("orphan", BASE, [])
    ids = other.write()
    problem, remedy = bench.rejected(ids["orphan"], "main")
    assert "have no commit in common" in problem
    assert "shallow" not in problem
    assert remedy == "name two commits of one history"


def test_a_revision_that_a_shallow_clone_lacks_is_rejected(bench: Bench) -> None:
    ids = bench.linear(OLD, OLD + " ", NEW)
    bench.clone("--depth", "2")
    with pytest.raises(SpecError, match=r"the shallow clone .* has no commit") as refused:
        bench.bisect(ids["c0"], "main")
    assert refused.value.remedy == f"git -C {bench.tree} fetch --unshallow"


def test_a_shallow_clone_without_what_lies_between_is_rejected(bench: Bench) -> None:
    ids = bench.linear(OLD, NEW, NEW + " ", NEW + "  ")
    bench.clone("--depth", "2")
    fakesource.git(bench.tree, "fetch", "--quiet", "--depth", "1", "origin", ids["c0"])
    problem, remedy = bench.rejected(ids["c0"], "main")
    assert f"have no commit in common in the shallow clone {bench.tree}" in problem
    assert remedy.startswith(f"git -C {bench.tree} fetch --unshallow (or ")


def side_branch_behind_a_boundary(bench: Bench) -> dict[str, str]:
    """What breaks it is on a long branch that was merged, and of which a shallow clone has the newest commit only."""
    writer = Writer(bench.tree)
    at = side = writer.commit("c0", BASE)
    for number in range(1, 5):
        at = writer.commit(f"c{number}", {"mm/memcontrol.c": memcontrol("", number)}, [at])
    side = writer.commit("s1", {"mm/memcontrol.c": NEW}, [side])
    side = writer.commit("s2", {"drivers/net/s.c": "int s;\n"}, [side])
    at = writer.commit("m", {"mm/memcontrol.c": NEW, "drivers/net/s.c": "int s;\n"}, [at, side])
    writer.commit("top", {"Documentation/a.rst": "a\n"}, [at])
    return writer.write()


def test_a_shallow_clone_that_lacks_part_of_a_merged_branch_is_rejected(bench: Bench) -> None:
    ids = side_branch_behind_a_boundary(bench)
    bench.clone("--depth", "3")
    problem, remedy = bench.rejected(ids["c4"], "main")
    assert f"the shallow clone {bench.tree} lacks the parents of {ids['s2'][:12]}" in problem
    assert "the commit that you look for may be among them" in problem
    assert "--unshallow" in remedy
    fakesource.git(bench.tree, "fetch", "--quiet", "--unshallow")
    assert bench.bisect(ids["c4"], "main").culprit == "s1"


def test_a_shallow_clone_that_has_all_that_lies_between_is_bisected(bench: Bench) -> None:
    bench.linear(OLD, OLD + " ", OLD + "  ", NEW, NEW + " ")
    bench.clone("--depth", "3")
    assert bench.bisect("main~2", "main").culprit == "c3"


def test_what_was_fetched_meanwhile_is_seen(bench: Bench) -> None:
    bench.linear(OLD, OLD + " ", NEW)
    bench.clone("--depth", "2")
    folder = bench.folder / "history.git"
    assert History(bench.tree, folder).shallow
    fakesource.git(bench.tree, "fetch", "--quiet", "--unshallow")
    assert not History(bench.tree, folder).shallow


def test_an_older_good_commit_is_not_looked_for_behind_the_boundary(bench: Bench) -> None:
    """From there on commits of the merged branch would be missing."""
    ids = side_branch_behind_a_boundary(bench)
    bench.clone("--depth", "3")
    with pytest.raises(SpecError, match="is not good, and nothing before it"):
        bench.bisect(ids["m"], "main")


def side_branch(bench: Bench, base: str, stable: str, mainline: str) -> dict[str, str]:
    """``stable`` and m1, m2, m3 (which is ``mainline``) leave ``base``."""
    writer = Writer(bench.tree)
    at = writer.commit("base", {**BASE, "mm/memcontrol.c": base})
    writer.commit("stable", {"mm/memcontrol.c": f"{stable} stable"}, [at])
    for number in (1, 2, 3):
        content = mainline if number == 3 else base
        at = writer.commit(f"m{number}", {"mm/memcontrol.c": f"{content} {number}"}, [at])
    return writer.write()


@pytest.mark.parametrize("terms", [BREAK, FIX])
def test_of_a_revision_on_a_side_branch_the_merge_base_is_tested(bench: Bench, terms: Terms) -> None:
    ids = side_branch(bench, memcontrol(""), memcontrol(""), memcontrol("b=failed"))
    bench.suite = PlayedSuite() if terms is BREAK else MirroredSuite()
    ends = (ids["stable"], ids["m3"]) if terms is BREAK else (ids["m3"], ids["stable"])
    found = bench.bisect(*ends, terms)
    assert (found.culprit, found.status) == ("m3", commands.GOOD)
    assert ids["stable"] not in bench.made, "it says nothing of what comes after the merge base"
    assert f'("stable") is not an ancestor of {ids["m3"][:12]} ("m3")' in found.notes
    assert found.report["good" if terms is BREAK else "bad"] == ids["base"]


@pytest.mark.parametrize(
    "terms, was, remedy",
    [
        (BREAK, "fixed", "--bad {base} --good {stable} --find fix"),
        (FIX, "broken", "--good {base} --bad {stable} without --find fix"),
    ],
)
def test_a_merge_base_that_is_as_the_newer_revision_ends_it_as_in_git(
    bench: Bench, terms: Terms, was: str, remedy: str
) -> None:
    ids = side_branch(bench, memcontrol("b=failed"), memcontrol(""), memcontrol("b=failed"))
    bench.suite = PlayedSuite() if terms is BREAK else MirroredSuite()
    ends = (ids["stable"], ids["m3"]) if terms is BREAK else (ids["m3"], ids["stable"])
    with pytest.raises(SpecError, match=f"the merge base .*: it was {was} between there and .*stable") as refused:
        bench.bisect(*ends, terms)
    short = {name: commit[:12] for name, commit in ids.items()}
    assert refused.value.remedy == f"to find that, give {remedy.format(**short)}"
    assert set(bench.made) <= {ids["m3"], ids["base"]}, "only what must be known is built"


def test_a_merge_base_that_cannot_be_judged_is_not_called_bad(bench: Bench) -> None:
    ids = side_branch(bench, memcontrol("boot=no"), memcontrol(""), memcontrol("b=failed"))
    with pytest.raises(SpecError, match="the merge base of --good and --bad, cannot be judged: it does not boot"):
        bench.bisect(ids["stable"], ids["m3"])


def crossed(bench: Bench, x1: str, y1: str) -> dict[str, str]:
    """Two branches that merged each other: x1 and y1 are both merge bases of x3 and y3."""
    writer = Writer(bench.tree)
    root = writer.commit("root", BASE)
    x = writer.commit("x1", {"mm/memcontrol.c": x1}, [root])
    y = writer.commit("y1", {"mm/memcontrol.c": y1}, [root])
    x2 = writer.commit("x2", {"mm/memcontrol.c": memcontrol("", "x2")}, [x, y])
    y2 = writer.commit("y2", {"mm/memcontrol.c": memcontrol("", "y2")}, [y, x])
    writer.commit("x3", {"mm/memcontrol.c": memcontrol("", "x3")}, [x2])
    writer.commit("y3", {"mm/memcontrol.c": memcontrol("b=failed", "y3")}, [y2])
    return writer.write()


def test_every_merge_base_is_tested(bench: Bench) -> None:
    ids = crossed(bench, memcontrol("", "x1"), memcontrol("", "y1"))
    assert bench.bisect(ids["x3"], ids["y3"]).culprit == "y3"
    assert {ids["x1"], ids["y1"]} <= set(bench.made)


@pytest.mark.parametrize("bad", ["x1", "y1"])
def test_a_bad_merge_base_among_good_ones_ends_it(bench: Bench, bad: str) -> None:
    contents = {name: memcontrol("b=failed" if name == bad else "", name) for name in ("x1", "y1")}
    ids = crossed(bench, **contents)
    with pytest.raises(SpecError, match=f'{ids[bad][:12]} ."{bad}".*merge base|merge base {ids[bad][:12]}.* is bad'):
        bench.bisect(ids["x3"], ids["y3"])
