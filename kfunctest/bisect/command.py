# SPDX-License-Identifier: GPL-2.0-only
"""scripts/bisect: two ends and a tree in, a culprit and its report out. Killed at any time, it goes on from there."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from kfunctest import cache, files, results, shell
from kfunctest.bisect import ancestry, git_bisect, mail, report
from kfunctest.bisect import options as shared
from kfunctest.bisect.builder import Builder
from kfunctest.bisect.git_bisect import History
from kfunctest.bisect.judge import Builds, Judge
from kfunctest.bisect.loop import Found, Walk
from kfunctest.bisect.options import BAD, GOOD, UNTESTABLE
from kfunctest.bisect.report import Facts, Report
from kfunctest.bisect.state import NAME, Memory
from kfunctest.bisect.trials import ImageTrials, Selection
from kfunctest.bisect.types import BREAK, TERMS, Terms
from kfunctest.kernels import toolchain, user_paths, usersgit
from kfunctest.kernels.patches import Patch
from kfunctest.kernels.progress import Progress
from kfunctest.shell import positive, say
from kfunctest.trial import digest
from kfunctest.trial.suite import CHECKOUT, Suite, pytest_suite

RESULTS: Final = CHECKOUT / "results"


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line asked for."""

    tree: Path
    good: str
    bad: str
    tests: Selection
    tries: int
    command: str
    patches: tuple[Patch, ...] = ()
    flavours: tuple[str, ...] = ()
    contract: str | None = None
    results: Path = RESULTS
    fresh: bool = False
    argues: bool = True
    terms: Terms = BREAK


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(shared.Options):
    """The command line."""

    tree: str
    good: str
    bad: str
    find: str
    tries: int
    results: str | None
    fresh: bool
    build_all: bool


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit status."""
    ours, words = shell.split(argv)
    options = shell.parsed(_parser(), ours, Options)

    def work() -> int:
        wanted = _asked(options, argv, shared.tests(options, words))
        builder = Builder(wanted.tree, wanted.patches, wanted.flavours, wanted.contract, Progress())
        return bisect(wanted, builder, pytest_suite(60.0 * options.minutes))

    return shell.run("bisect", work)


def _parser() -> argparse.ArgumentParser:
    parser = shell.Parser(
        prog="scripts/bisect",
        description="find the commit since which the suite fails, or since which it passes again: prove both ends, "
        "then let git bisect choose",
        epilog="What stands behind a -- goes to pytest. Exit status: 0: found, and it held when run again; 1: found, "
        "and it did not hold; 125: only commits that cannot be tested are left; 131: the machine, a tool or the "
        "network stopped it, and the same command goes on; 132: what was asked for cannot be, or the "
        "ends are not what they are said to be; 130: interrupted",
    )
    parser.add_argument(
        "--tree", default=".", metavar="DIR", help="the kernel's git tree; it is only read (default: .)"
    )
    parser.add_argument("--good", required=True, metavar="REV", help="a commit at which it worked")
    parser.add_argument(
        "--bad", required=True, metavar="REV", help="one at which it does not; --find fix: the older one"
    )
    shared.add_find(parser)
    shared.add_tests(parser)
    shared.add_patch(parser)
    parser.add_argument(
        "--tries",
        type=positive,
        default=3,
        metavar="N",
        help="how often the ends are run; and what may be flaky, before it counts as good (default: 3)",
    )
    parser.add_argument("--results", metavar="DIR", help="where all is kept (default: results/ below the checkout)")
    parser.add_argument("--fresh", action="store_true", help="forget what an earlier run of this bisection found")
    parser.add_argument("--build-all", action="store_true", help="build every commit, even if it cannot differ")
    return parser


def _asked(options: Options, argv: Sequence[str], tests: Selection) -> Asked:
    tree = user_paths.written(options.tree, shell.base()).resolve()
    usersgit.require_sha1(tree, usersgit.repository(tree))
    return Asked(
        tree=tree,
        good=git_bisect.commit_of(tree, options.good),
        bad=git_bisect.commit_of(tree, options.bad),
        tests=tests,
        tries=options.tries,
        command=shlex.join(["scripts/bisect", *argv]),
        patches=options.patches,
        flavours=tuple(dict.fromkeys(options.flavour)),
        contract=options.contract,
        results=user_paths.written(options.results, shell.base()).resolve() if options.results else RESULTS,
        fresh=options.fresh,
        argues=not options.build_all,
        terms=TERMS[options.find],
    )


def key(wanted: Asked, tools: Sequence[str]) -> str:
    """What names a bisection: all that decides what a commit comes to, and what is asked of it."""
    words = [git_bisect.common_folder(wanted.tree), wanted.terms.find, wanted.good, wanted.bad, *wanted.tests.tests]
    words += ["", *wanted.tests.words]
    words += ["", *wanted.flavours, "", *(patch.digest for patch in wanted.patches), wanted.contract or "", *tools]
    return cache.digest(digest.of_suite(), *words)[:12]


def bisect(wanted: Asked, builds: Builds, suite: Suite, tools: Callable[[], Sequence[str]] | None = None) -> int:
    """Bisect, and write the report; returns the exit status. Raises KfunctestError and OSError."""
    bases = ancestry.merge_bases(wanted.tree, wanted.good, wanted.bad, wanted.terms)
    started, begun = datetime.now(UTC).isoformat(timespec="seconds"), time.monotonic()
    folder = wanted.results / f"bisect-{key(wanted, tools() if tools else _tools(wanted, builds))}"
    folder.mkdir(parents=True, exist_ok=True)
    with cache.locked(folder.name), shell.resumable():
        memory_file = folder / NAME
        if wanted.fresh or Memory(memory_file).finished:
            memory_file.unlink(missing_ok=True)
        files.point(wanted.results / "bisect-latest", folder.name)
        memory = Memory(memory_file)
        say(f"results: {folder}")
        if memory.recalled:
            say(f"{memory.recalled} runs of an earlier attempt are taken over (--fresh forgets them)")
        judge = Judge(
            builds, ImageTrials(suite, folder / "runs"), memory, wanted.tests, say, wanted.tries, wanted.argues
        )
        log = History(wanted.tree, folder / "history.git", wanted.terms)
        found = Walk(log, judge, wanted.good, wanted.bad, say, bases).run()
        facts = Facts(
            wanted.command, started, time.monotonic() - begun, wanted.tries, *_versions(memory), memory.recalled
        )
        _write(folder, found, facts, wanted, log, memory)
        memory.finish()
    return _status(found)


def _tools(wanted: Asked, builds: Builds) -> Sequence[str]:
    if not isinstance(builds, Builder):
        return ()
    return (digest.of_machine(), *toolchain.find(builds.recipe(wanted.bad).source).words)


def _write(folder: Path, found: Found, facts: Facts, wanted: Asked, log: History, memory: Memory) -> None:
    commits = report.commits(found, log)
    parents = sorted(found.again[1:], key=lambda one: one.kind is not found.terms.old)
    parent = parents[0].commit if parents else ""
    images = [place.image if (place := memory.places.get(one)) else "" for one in (found.culprit, parent)]
    whole = Report(
        found=found,
        facts=facts,
        commits=commits,
        culprit=memory.of(images[0]),
        parent=memory.of(images[1]),
        patches=tuple((patch.id, patch.subject) for patch in wanted.patches),
        flavours=wanted.flavours,
        to=mail.recipients(log, found.culprit) if found.culprit else (),
    )
    report.write(folder, whole, mail.text(whole))
    sys.stdout.write(
        f"\n{report.markdown(whole).partition('## The path')[0].rstrip()}\n\nreport: {folder / report.MARKDOWN}\n"
    )
    if found.culprit:
        say(f"mail:   {folder / report.MAIL}")


def _versions(memory: Memory) -> tuple[str, str, str]:
    """The project, the accelerator and the versions that the last run names."""
    for trial in reversed([trial for of in memory.trials.values() for trial in of]):
        run, _ = results.read_partial(Path(trial.folder) / results.NAME) if trial.folder else (None, "")
        if run:
            return run.project, f"accelerator {run.accelerator}", run.versions
    return "", "", ""


def _status(found: Found) -> int:
    if not found.culprit:
        return UNTESTABLE
    return GOOD if found.confirmed else BAD
