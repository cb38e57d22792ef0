# SPDX-License-Identifier: GPL-2.0-only
"""The command behind scripts/mutate."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final, NoReturn

from kfunctest.errors import EXIT_USAGE, InfraError, KfunctestError, SpecError
from kfunctest.kernels import paths, usersgit
from kfunctest.kernels.progress import Progress
from kfunctest.mutate import building, catalogue, record
from kfunctest.mutate.catalogue import Mutant
from kfunctest.mutate.fate import Fate, Row
from kfunctest.mutate.pipeline import Pipeline
from kfunctest.trial import digest
from kfunctest.trial.log import Log
from kfunctest.trial.suite import CHECKOUT, pytest_suite

RESULTS: Final = CHECKOUT / "results" / "mutants"
#: Every mutant is killed or equivalent; one is not; nothing could be said of one.
EXIT_GOOD, EXIT_SURVIVED, EXIT_UNJUDGED = 0, 1, 2
#: The shell's status for a program that Ctrl-C ended.
EXIT_INTERRUPTED: Final = 130
#: Seconds with the slowest emulation that all runs on one mutant take at most, each.
RUN_SECONDS: Final = 3600.0


def main(argv: list[str]) -> int:
    """Run the command; returns its exit status. Whatever stops it is never a mutant's survival, so never 1."""
    options = _parser().parse_args(argv)
    # What we started is ended before we are.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return _mutate(options)
    except (KfunctestError, OSError) as error:
        sys.stderr.write(f"mutate: {error}\n")
        return EXIT_USAGE if isinstance(error, SpecError) else EXIT_UNJUDGED
    except KeyboardInterrupt:
        sys.stderr.write("mutate: interrupted; the next run goes on from what was judged\n")
        sys.stderr.flush()
        sys.stdout.flush()
        # Not through sys.exit(), which waits for the build: its guard ends it when we do.
        os._exit(EXIT_INTERRUPTED)
    except Exception:  # noqa: BLE001 (Python's own status for it is 1, which here says that a mutant survived)
        traceback.print_exc()
        return EXIT_UNJUDGED


class _Parser(argparse.ArgumentParser):
    """With the status that a wrong request has everywhere else."""

    def error(self, message: str) -> NoReturn:
        """End with one line."""
        self.exit(EXIT_USAGE, f"mutate: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="scripts/mutate",
        description="build kernels that are wrong on purpose, and see whether the suite says so: docs/mutations.md",
        epilog="What was judged is kept, and a run goes on from there. Exit status: 0: all are killed, or equivalent; "
        "1: one survived; 2: one could not be judged; 4: there is no such mutant; 130: interrupted",
    )
    parser.add_argument("ids", nargs="*", metavar="ID", help="judge these mutants, or classes of them (default: all)")
    parser.add_argument("--sample", type=_number, metavar="N", help="N of them, others for each commit")
    parser.add_argument("--commit", metavar="HASH", help="the commit that --sample goes by (default: the checkout's)")
    parser.add_argument("--fresh", action="store_true", help="start over: judge again what was judged before")
    parser.add_argument("--anew", action="store_true", dest="fresh", help=argparse.SUPPRESS)
    parser.add_argument("--list", action="store_true", help="list them with what is known of each, and judge nothing")
    parser.add_argument("--results", metavar="DIR", help="where all is kept (default: results/mutants)")
    parser.add_argument("--debian-mirror", metavar="URL", help="the Debian archive to use")
    return parser


def _number(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of mutants")
    return int(text)


def _mutate(options: argparse.Namespace) -> int:
    base = Path(os.environ.get("KFUNCTEST_CWD", ""))
    folder = paths.written(options.results, base) if options.results else RESULTS
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
    (folder / record.TEXT).write_text(text)
    sys.stdout.write(f"\n{text}results: {folder}\n")
    if any(row.fate is Fate.SURVIVED for row in rows.values()):
        return EXIT_SURVIVED
    return EXIT_GOOD if all(row.good for row in rows.values()) else EXIT_UNJUDGED


def _judge(
    options: argparse.Namespace, mutants: Sequence[Mutant], kept: dict[str, Row], log: Log, suite: str
) -> dict[str, Row]:
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
        for number, found in enumerate(pipeline.rows(left), 1):
            mutant = left[number - 1]
            row = replace(found, key=mutant.key, suite=suite)
            rows[row.id] = row
            log.add(**asdict(row))
            told = record.table([row]).splitlines()[0]
            sys.stdout.write(f"{number}/{len(left)} {told} ({row.built:.0f} + {row.judged:.0f} s)\n")
            sys.stdout.flush()
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
