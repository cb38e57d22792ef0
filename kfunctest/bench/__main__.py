# SPDX-License-Identifier: GPL-2.0-only
"""``python -m kfunctest.bench``: one subcommand a figure."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from kfunctest import cache, shell
from kfunctest.bench.bisect import Range, bisections
from kfunctest.bench.build import builds
from kfunctest.bench.flakes import Manner, flakes
from kfunctest.bench.harness import harness
from kfunctest.bench.kfunc import command as kfunc
from kfunctest.bench.memory import watching
from kfunctest.bench.mutants import SAMPLE, Bench, mutants
from kfunctest.kernels import source, spec
from kfunctest.kernels.progress import Progress
from kfunctest.mutate import building, catalogue
from kfunctest.shell import Steps, count, positive, say
from kfunctest.target import accelerator, capacity
from kfunctest.target.vm import Shape
from kfunctest.trial import digest
from kfunctest.trial.suite import CHECKOUT, pytest_suite
from kfunctest.trial.trials import Trials
from kfunctest.trial.work import Work, work

#: Seconds that the suite's runs on one mutant take at most, each.
RUN_SECONDS = 3600.0
#: How often ``flakes`` runs the suite unless told.
DEFAULT_RUNS = 20
#: Some run was not as it must be.
EXIT_UNEXPECTED = 1


def main(argv: list[str]) -> int:
    """Run the command; returns its exit status."""
    options = _parser().parse_args(argv)
    return shell.run("bench", lambda: int(options.run(options)))


def _parser() -> argparse.ArgumentParser:
    parser = shell.Parser(prog="scripts/bench", description="measure the project's own figures")
    figures = parser.add_subparsers(required=True, metavar="FIGURE")
    quick = figures.add_parser("harness", help="the quick suite against vng -- true, same flags")
    quick.add_argument("--kernel", default=spec.DEFAULT, metavar="SPEC", help="as in pytest --kernel")
    quick.add_argument(
        "--pairs", type=positive, default=5, metavar="N", help="pairs to take the median of (default: 5)"
    )
    quick.set_defaults(run=_harness)
    build = figures.add_parser("build", help="our slim build against vng --kconfig and make, cold; warm; and its boot")
    build.add_argument("--source", default="debian:7.2", metavar="SOURCE", help="as in scripts/build-kernel")
    build.add_argument(
        "--pairs", type=positive, default=5, metavar="N", help="boots to take the median of (default: 5)"
    )
    build.set_defaults(run=_build)
    often = _flakes_parser(figures)
    who = figures.add_parser("bisect", help="scripts/bisect against a git bisect run around make and the suite")
    who.add_argument("--tree", type=Path, required=True, metavar="DIR", help="a kernel's git tree; it is only read")
    who.add_argument("--good", required=True, metavar="REV", help="a commit at which it worked")
    who.add_argument("--bad", required=True, metavar="REV", help="a commit at which it does not")
    who.add_argument("test", nargs="*", metavar="TEST", help="tests that tell (default: the suite)")
    who.add_argument("--tries", type=positive, default=3, metavar="N", help="as in scripts/bisect (default: 3)")
    who.set_defaults(run=_bisect)
    wrong = figures.add_parser(
        "mutate", help="scripts/mutate's build and verdict against make alone, a mutant at a time"
    )
    wrong.add_argument("ids", nargs="*", metavar="ID", help=f"these mutants (default: {SAMPLE} of different classes)")
    wrong.set_defaults(run=_mutate)
    room = figures.add_parser("memory", help="what a VM takes of the host beyond its own memory, while it is judged")
    room.add_argument("--kernel", default=spec.DEFAULT, metavar="SPEC", help="as in pytest --kernel")
    room.add_argument("-m", dest="select", default="kfunc", metavar="EXPR", help="as in pytest -m (default: kfunc)")
    room.set_defaults(run=_memory)
    reading = kfunc.add(figures)
    reading.set_defaults(run=_kfunc)
    for figure in (quick, often, wrong):
        figure.add_argument(
            "--results", type=Path, metavar="DIR", help="where all is kept (default: results/ below the checkout)"
        )
        figure.add_argument("--fresh", action="store_true", help="start over, even if the same was left unfinished")
    for figure in (quick, build, often, who, wrong, room, reading):
        figure.add_argument("--accel", choices=("auto", "kvm", "tcg"), default="auto", help="the accelerator")
    return parser


def _flakes_parser(figures: argparse._SubParsersAction[shell.Parser]) -> shell.Parser:
    often = figures.add_parser("flakes", help="the suite many times over: whatever changes, or is not good, is named")
    often.add_argument(
        "runs", nargs="?", type=positive, metavar="N", help="how many runs (default: 20; 1 with --repeat)"
    )
    often.add_argument("--kernel", default=spec.DEFAULT, metavar="SPEC", help="as in pytest --kernel")
    often.add_argument("-m", dest="select", default="kfunc", metavar="EXPR", help="as in pytest -m (default: kfunc)")
    often.add_argument("-k", dest="keyword", default="", metavar="EXPR", help="as in pytest -k")
    often.add_argument(
        "-n",
        dest="workers",
        type=count,
        default=0,
        metavar="N",
        help="pytest -n, every other run; all with --repeat",
    )
    often.add_argument(
        "--busy",
        type=count,
        metavar="N",
        help="that many busy processes beside the runs (default: none; with --frantic one for each CPU)",
    )
    often.add_argument(
        "--repeat",
        type=positive,
        default=1,
        metavar="N",
        help="each test N times a run, in one boot (default: 1)",
    )
    often.add_argument(
        "--frantic",
        action="store_true",
        help="let the kernel do without a pause what it does by itself, and keep its CPUs and the host busy",
    )
    often.set_defaults(run=_flakes)
    return often


def _harness(options: argparse.Namespace) -> int:
    kernel = spec.resolve(options.kernel, base=shell.base())
    accel = _accelerator(options)
    say(f"kernel {kernel.release}, accelerator {accel.name} ({accel.why})")
    with _work(options, "harness", kernel.image_digest, accel.name, str(options.pairs)) as place:
        found = harness(kernel, accel, options.pairs, place.log, Steps(options.pairs + 1).done)
        for line in found.report():
            say(f"under {accel.name}: {line}")
        if not found.whole:
            raise KeyboardInterrupt
    return 0


def _build(options: argparse.Namespace) -> int:
    accel = _accelerator(options)
    debian = spec.resolve(spec.DEFAULT)
    of = source.resolve(options.source, base=shell.base())
    say(f"source {of.words}; Debian's kernel {debian.release}; accelerator {accel.name} ({accel.why})")
    for line in builds(of, debian, accel, options.pairs, say).report():
        say(f"under {accel.name}: {line}")
    return 0


def _flakes(options: argparse.Namespace) -> int:
    kernel = spec.resolve(options.kernel, base=shell.base())
    accel = _accelerator(options)
    manner = _manner(options)
    runs = options.runs or (DEFAULT_RUNS if manner.repeat == 1 else 1)
    with _work(options, "flakes", kernel.image_digest, accel.name, str(runs), repr(manner)) as place:
        trials = Trials(pytest_suite(manner.seconds * accel.slowdown), place.folder, place.log)
        pytest = shlex.join(["pytest", *manner.words(1)])
        say(f"{pytest}, kernel {kernel.release}, accelerator {accel.name} ({accel.why}), in {place.folder}")
        found = flakes(kernel, accel, runs, manner, trials, Steps(runs).done)
        for line in found.report():
            say(f"under {accel.name}: {line}")
        if not found.whole:
            raise KeyboardInterrupt
    return EXIT_UNEXPECTED if found.unexpected() else 0


def _manner(options: argparse.Namespace) -> Manner:
    """What ``flakes`` was told of its runs."""
    busy = (os.cpu_count() or 1) * options.frantic if options.busy is None else options.busy
    return Manner(options.select, options.workers, busy, options.keyword, options.repeat, options.frantic)


def _bisect(options: argparse.Namespace) -> int:
    accel = _accelerator(options)
    say(f"accelerator {accel.name} ({accel.why})")
    of = Range((shell.base() / options.tree).resolve(), options.good, options.bad, tuple(options.test))
    found = bisections(of, accel, options.tries, say)
    for line in found.report():
        say(f"under {accel.name}: {line}")
    return 0 if found.same else EXIT_UNEXPECTED


def _mutate(options: argparse.Namespace) -> int:
    accel = _accelerator(options)
    every = catalogue.choose(catalogue.load(), options.ids)
    chosen = every if options.ids else catalogue.sample(every, time.strftime("%Y%m%d"), SAMPLE)
    say(f"{len(chosen)} mutants upon {building.BASE}, accelerator {accel.name} ({accel.why})")
    with _work(options, "bench-mutate", accel.name, *(one.key for one in chosen)) as place:
        bench = Bench(building.recipe(None, Progress()), pytest_suite(RUN_SECONDS), place.folder)
        found = mutants(bench, chosen, place.log, Steps(len(chosen)).done)
        for line in found.report():
            say(f"under {accel.name}: {line}")
        if not found.whole:
            raise KeyboardInterrupt
    return 0


def _kfunc(options: argparse.Namespace) -> int:
    return kfunc.run(options, say)


def _memory(options: argparse.Namespace) -> int:
    kernel = spec.resolve(options.kernel, base=shell.base())
    accel = _accelerator(options)
    with TemporaryDirectory(prefix="kfunctest-") as folder, watching(capacity.size_of(Shape().memory)) as watched:
        manner = Manner(options.select)
        trials = Trials(pytest_suite(manner.seconds * accel.slowdown), Path(folder))
        found = flakes(kernel, accel, 1, manner, trials, say)
    took, reckoned = watched.peak >> 20, capacity.OVERHEAD >> 20
    say(f"under {accel.name}: {kernel.release} took {took} MiB beyond its own; {reckoned} are reckoned with")
    return 0 if found.whole and watched.peak <= capacity.OVERHEAD else EXIT_UNEXPECTED


@contextmanager
def _work(options: argparse.Namespace, kind: str, *asked: str) -> Iterator[Work]:
    """The directory of this figure; what is taken over of an unfinished run is said."""
    results = (shell.base() / options.results).resolve() if options.results else CHECKOUT / "results"
    key = cache.digest(digest.of_suite(), digest.of_machine(), *asked)
    with work(results, kind, key, fresh=options.fresh) as place:
        if place.resumed:
            say(f"resumed in {place.folder}: {len(place.log.entries) - 1} results are taken over (--fresh starts over)")
        yield place


def _accelerator(options: argparse.Namespace) -> accelerator.Accelerator:
    return accelerator.choose(None if options.accel == "auto" else options.accel)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
