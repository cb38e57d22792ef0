# SPDX-License-Identifier: GPL-2.0-only
"""The command behind scripts/mutate."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final

from kfunctest import files, shell
from kfunctest.errors import InfraError
from kfunctest.kernels import user_paths, usersgit
from kfunctest.kernels.progress import Progress
from kfunctest.mutate import building, catalogue, record
from kfunctest.mutate.catalogue import Mutant
from kfunctest.mutate.fate import Fate, Row
from kfunctest.mutate.pipeline import Pipeline
from kfunctest.shell import positive
from kfunctest.trial import digest
from kfunctest.trial.log import Log
from kfunctest.trial.suite import CHECKOUT, pytest_suite

RESULTS: Final = CHECKOUT / "results" / "mutants"
#: Every mutant is killed or equivalent; one is not; nothing could be said of one.
EXIT_GOOD, EXIT_SURVIVED, EXIT_UNJUDGED = 0, 1, 2
#: Seconds with the slowest emulation that all runs on one mutant take at most, each.
RUN_SECONDS: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Options:
    """The command line."""

    ids: tuple[str, ...]
    sample: int | None
    commit: str | None
    fresh: bool
    list: bool
    results: str | None
    debian_mirror: str | None


def main(argv: list[str]) -> int:
    """Run the command; returns its exit status. Whatever stops it is never a mutant's survival, so never 1."""
    options = shell.parsed(_parser(), argv, Options)
    # At once: not through sys.exit(), which waits for the build, whose guard ends it when we do.
    return shell.run("mutate", lambda: _mutate(options), at_once=True)


def _parser() -> argparse.ArgumentParser:
    parser = shell.Parser(
        prog="scripts/mutate",
        description="build kernels that are wrong on purpose, and see whether the suite says so: docs/mutations.md",
        epilog="What was judged is kept, and a run goes on from there. Exit status: 0: all are killed, or equivalent; "
        "1: one survived; 2: one could not be judged; 4: there is no such mutant; 130: interrupted",
    )
    parser.add_argument("ids", nargs="*", metavar="ID", help="judge these mutants, or classes of them (default: all)")
    parser.add_argument("--sample", type=positive, metavar="N", help="N of them, others for each commit")
    parser.add_argument("--commit", metavar="HASH", help="the commit that --sample goes by (default: the checkout's)")
    parser.add_argument("--fresh", action="store_true", help="start over: judge again what was judged before")
    parser.add_argument("--anew", action="store_true", dest="fresh", help=argparse.SUPPRESS)
    parser.add_argument("--list", action="store_true", help="list them with what is known of each, and judge nothing")
    parser.add_argument("--results", metavar="DIR", help="where all is kept (default: results/mutants)")
    parser.add_argument("--debian-mirror", metavar="URL", help="the Debian archive to use")
    return parser


def _mutate(options: Options) -> int:
    base = shell.base()
    folder = user_paths.written(options.results, base) if options.results else RESULTS
    mutants = catalogue.choose(catalogue.load(), options.ids)
    if options.sample:
        mutants = catalogue.sample(mutants, options.commit or _commit(), options.sample)
    suite = digest.of_suite()
    log = Log(folder / record.NAME)
    before = record.read(log)
    kept = {} if options.fresh else {one.id: row for one in mutants if (row := record.known(before, one, suite))}
    if not options.ids:
        kept |= {one.id: _argued(one, suite) for one in mutants if one.equivalent and one.id not in kept}
    if options.list:
        sys.stdout.write("".join(_listed(one, kept.get(one.id)) for one in mutants))
        return EXIT_GOOD
    rows = _judge(options, mutants, kept, log, suite)
    text = record.table([rows[one.id] for one in mutants])
    files.write(folder / record.TEXT, text)
    sys.stdout.write(f"\n{text}results: {folder}\n")
    if any(row.fate is Fate.SURVIVED for row in rows.values()):
        return EXIT_SURVIVED
    return EXIT_GOOD if all(row.good for row in rows.values()) else EXIT_UNJUDGED


def _judge(options: Options, mutants: Sequence[Mutant], kept: dict[str, Row], log: Log, suite: str) -> dict[str, Row]:
    """The rows of all of them, written as they come."""
    folder = log.file.parent
    folder.mkdir(parents=True, exist_ok=True)
    left = [one for one in mutants if one.id not in kept]
    if kept:
        sys.stdout.write(f"mutate: {len(kept)} of {len(mutants)} are known; --fresh judges them again\n")
    rows = dict(kept)
    if left:
        recipe = building.recipe(options.debian_mirror, Progress())
        pipeline = Pipeline(folder, building.builder(recipe), pytest_suite(RUN_SECONDS))
        steps = shell.Steps(len(left))
        with shell.resumable():
            for number, found in enumerate(pipeline.rows(left), 1):
                mutant = left[number - 1]
                row = replace(found, key=mutant.key, suite=suite)
                rows[row.id] = row
                log.add(**asdict(row))
                told = record.table([row]).splitlines()[0]
                steps.done(f"{told} ({row.built:.0f} + {row.judged:.0f} s)")
    return rows


def _argued(mutant: Mutant, suite: str) -> Row:
    """An equivalent mutant is believed, unless it is named: then its kernel is held to the argument."""
    return Row(mutant.id, Fate.EQUIVALENT, mutant.kind, message=mutant.equivalent, key=mutant.key, suite=suite)


def _listed(mutant: Mutant, row: Row | None) -> str:
    return f"{mutant.id:32} {mutant.kind:12} {row.fate if row else '-':10} {mutant.breaks}\n"


def _commit() -> str:
    done = usersgit.ask(CHECKOUT, "rev-parse", "HEAD")
    if done.status:
        raise InfraError(f"{CHECKOUT} is no git checkout, so that --sample has no commit to go by", remedy="--commit")
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
