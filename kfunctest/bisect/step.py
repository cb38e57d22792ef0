# SPDX-License-Identifier: GPL-2.0-only
"""``scripts/bisect step``: one verdict on the commit that is checked out, in git bisect's statuses."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kfunctest import cache, shell
from kfunctest.bisect import git_bisect, trials
from kfunctest.bisect import options as shared
from kfunctest.bisect.builder import Builder
from kfunctest.bisect.judge import Builds, Judge
from kfunctest.bisect.options import BAD, GOOD, UNTESTABLE
from kfunctest.bisect.state import Memory
from kfunctest.bisect.trials import ImageTrials, Selection
from kfunctest.bisect.types import BREAK, FIX, TERMS, Kind, Purpose, Terms, Trial
from kfunctest.errors import InfraError, SpecError
from kfunctest.kernels import toolchain, user_paths, usersgit
from kfunctest.kernels.progress import Progress
from kfunctest.shell import positive, say
from kfunctest.trial import digest
from kfunctest.trial.suite import Suite, pytest_suite

#: git's names by which a bisection shows that it was started for the other of the two.
_FOR: Final = {terms.git_new: terms for terms in (BREAK, FIX)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(shared.Options):
    """The command line."""

    tree: str
    find: str
    tries: int


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit status."""
    ours, words = shell.split(argv)
    options = shell.parsed(_parser(), ours, Options)

    def work() -> int:
        tests = shared.tests(options, words)
        tree = user_paths.written(options.tree, shell.base()).resolve()
        builder = Builder(tree, options.patches, options.flavour, options.contract, Progress())
        folder = cache.root() / "bisect" / key(tree, builder, tests, toolchain.installed().words)
        terms = TERMS[options.find]
        check_terms(tree, terms)
        suite = pytest_suite(60.0 * options.minutes)
        return judged(_commit(tree), builder, suite, tests, folder, options.tries, terms)

    return shell.run("bisect step", work)


def _parser() -> argparse.ArgumentParser:
    parser = shell.Parser(
        prog="scripts/bisect step",
        description="judge the commit that is checked out: git bisect run scripts/bisect step -k usage",
        epilog="What stands behind a -- goes to pytest. Exit status: 0: good; 1: bad; 125: it does not build, boot or "
        "have the kfuncs; 128 and above: the machine, or what was asked for, is at fault, and git bisect run stops. "
        "With --find fix: 0: still bad, 1: fixed",
    )
    parser.add_argument("--tree", default=".", metavar="DIR", help="the kernel's git tree (default: .)")
    shared.add_find(parser)
    shared.add_tests(parser)
    shared.add_patch(parser)
    parser.add_argument(
        "--tries", type=positive, default=1, metavar="N", help="runs that must be good for good (default: 1)"
    )
    return parser


def _commit(tree: Path) -> str:
    """What git bisect wants to know about: BISECT_HEAD where it checks nothing out, else HEAD."""
    found = usersgit.ask(tree, "rev-parse", "--quiet", "--verify", "BISECT_HEAD^{commit}")
    return found.stdout.strip() if found.status == 0 else git_bisect.commit_of(tree, "HEAD")


def check_terms(tree: Path, terms: Terms) -> None:
    """Raise SpecError where the bisection of ``tree`` looks for the other of the two: 0 and 1 would be swapped."""
    file = Path(usersgit.ask(tree, "rev-parse", "--path-format=absolute", "--git-path", "BISECT_TERMS").stdout.strip())
    new = (file.read_text().split() or [""])[0] if file.is_file() else ""
    if _FOR.get(new, terms) is not terms:
        remedy = f"git bisect start --term-old={FIX.git_old} --term-new={FIX.git_new}"
        raise SpecError(
            f"git bisect looks for the first {new!r} commit here, and --find {terms.find} for the first "
            f"{terms.git_new!r} one",
            remedy="add --find fix" if terms is BREAK else f"start it with {remedy}",
        )


def key(tree: Path, builder: Builder, tests: Selection, tools: Sequence[str]) -> str:
    """What names the verdicts on a tree's commits: all that decides what they come to, and what is asked of them."""
    patches = [patch.digest for patch in builder.patches]
    words = [git_bisect.common_folder(tree), *tests.tests, "", *tests.words, "", *builder.flavours, "", *patches]
    return cache.digest(digest.of_suite(), digest.of_machine(), *words, builder.contract or "", *tools)


def judged(
    commit: str, builds: Builds, suite: Suite, tests: Selection, folder: Path, tries: int, terms: Terms = BREAK
) -> int:
    """The status for this commit. Without ends nothing tells which tests separate them: all that were chosen vote.

    A commit or an image that was judged before has its verdict still; what is flaky is run up to ``tries`` times.
    Raises KfunctestError and OSError.
    """
    with cache.locked(f"bisect-{folder.name}"), cache.filling():
        folder.mkdir(parents=True, exist_ok=True)
        judge = Judge(builds, ImageTrials(suite, folder / "runs"), Memory(folder / "judged.jsonl"), tests, say)
        place = judge.place(commit)
        kind, why = Kind.UNTESTABLE, place.problem
        if place.made:
            kind, why = _tried(judge, commit, tries)
    say(f"{commit[:12]} is {kind}: {why}")
    return {terms.old: GOOD, terms.new: BAD}.get(kind, UNTESTABLE)


def _tried(judge: Judge, commit: str, tries: int) -> tuple[Kind, str]:
    place = judge.place(commit)
    if place.made and not place.made.kfuncs:
        return Kind.UNTESTABLE, "it has none of the kfuncs"
    while True:
        made = [trial for trial in judge.memory.of(place.image) if not _unclear(trial)]
        for trial in made:
            bad = trials.bad_in(trial, trial.outcomes)
            if trial.problem:
                return Kind.UNTESTABLE, trial.problem
            if bad:
                return Kind.BAD, f"{bad[0].rpartition('::')[2]}: {trial.messages.get(bad[0], trial.outcomes[bad[0]])}"
        if len(made) >= tries:
            passed = trials.good_in(made[-1], made[-1].outcomes)
            good = f"{len(passed)} pass{trials.untested(made)}"
            return (Kind.GOOD, good) if passed else (Kind.UNTESTABLE, "no test applies")
        if _unclear(judge.trial(place, Purpose.WHOLE)):
            again = judge.trial(place, Purpose.WHOLE)
            if lost := _unclear(again):
                raise InfraError(f"{lost[0]} could not be judged twice: {again.messages.get(lost[0], '')}")


def _unclear(trial: Trial) -> list[str]:
    """Tests that say nothing of the kernel, where no other says that it is bad: it may not pass for good by that."""
    bad = trial.problem or trials.bad_in(trial, trial.outcomes)
    return [] if bad else trials.unclear_in(trial, trial.outcomes)
