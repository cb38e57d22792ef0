# SPDX-License-Identifier: GPL-2.0-only
"""``python -m kfunctest.bench``: one subcommand a figure."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from kfunctest import cache, shell
from kfunctest.bench.bisect import Range, bisections
from kfunctest.bench.build import builds
from kfunctest.bench.flakes import Manner, flakes
from kfunctest.bench.harness import harness
from kfunctest.bench.kfunc import command as kfunc
from kfunctest.bench.kfunc.command import Kfunc
from kfunctest.bench.memory import watching
from kfunctest.bench.mutants import SAMPLE, Bench, mutants
from kfunctest.bench.options import Options
from kfunctest.kernels import source, spec
from kfunctest.kernels.model import Kernel
from kfunctest.kernels.progress import Progress
from kfunctest.machine import capacity
from kfunctest.machine.accelerator import Accelerator
from kfunctest.machine.vm import Shape
from kfunctest.mutate import building, catalogue
from kfunctest.shell import Steps, count, positive, say
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
    return shell.run("bench", shell.parsed(_parser(), argv, Options).run)


def _parser() -> argparse.ArgumentParser:
    parser = shell.Parser(prog="scripts/bench", description="measure the project's own figures")
    figures = parser.add_subparsers(required=True, metavar="FIGURE")
    quick = figures.add_parser("harness", help="the quick suite against vng -- true, same flags")
    quick.add_argument("--kernel", default=spec.DEFAULT, metavar="SPEC", help="as in pytest --kernel")
    quick.add_argument(
        "--pairs", type=positive, default=5, metavar="N", help="pairs to take the median of (default: 5)"
    )
    quick.set_defaults(kind=Harness)
    build = figures.add_parser("build", help="our slim build against vng --kconfig and make, cold; warm; and its boot")
    build.add_argument("--source", default="debian:7.2", metavar="SOURCE", help="as in scripts/build-kernel")
    build.add_argument(
        "--pairs", type=positive, default=5, metavar="N", help="boots to take the median of (default: 5)"
    )
    build.set_defaults(kind=Build)
    often = _flakes_parser(figures)
    who = figures.add_parser("bisect", help="scripts/bisect against a git bisect run around make and the suite")
    who.add_argument("--tree", type=Path, required=True, metavar="DIR", help="a kernel's git tree; it is only read")
    who.add_argument("--good", required=True, metavar="REV", help="a commit at which it worked")
    who.add_argument("--bad", required=True, metavar="REV", help="a commit at which it does not")
    who.add_argument("test", nargs="*", metavar="TEST", help="tests that tell (default: the suite)")
    who.add_argument("--tries", type=positive, default=3, metavar="N", help="as in scripts/bisect (default: 3)")
    who.set_defaults(kind=Bisect)
    wrong = figures.add_parser(
        "mutate", help="scripts/mutate's build and verdict against make alone, a mutant at a time"
    )
    wrong.add_argument("ids", nargs="*", metavar="ID", help=f"these mutants (default: {SAMPLE} of different classes)")
    wrong.set_defaults(kind=Mutate)
    room = figures.add_parser("memory", help="what a VM takes of the host beyond its own memory, while it is judged")
    room.add_argument("--kernel", default=spec.DEFAULT, metavar="SPEC", help="as in pytest --kernel")
    room.add_argument("-m", dest="select", default="kfunc", metavar="EXPR", help="as in pytest -m (default: kfunc)")
    room.set_defaults(kind=Memory)
    reading = kfunc.add(figures)
    reading.set_defaults(kind=Kfunc)
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
    often.set_defaults(kind=Flakes)
    return often


def _kernel(text: str) -> Kernel:
    return spec.resolve(text, base=shell.base())


def _report(accel: Accelerator, lines: Iterable[str]) -> None:
    for line in lines:
        say(f"under {accel.name}: {line}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept(Options):
    """A figure whose measurements are kept one by one."""

    results: Path | None
    fresh: bool

    @contextmanager
    def work(self, kind: str, *asked: str) -> Iterator[Work]:
        """The figure's directory; what is taken over of an unfinished run is said."""
        results = (shell.base() / self.results).resolve() if self.results else CHECKOUT / "results"
        key = cache.digest(digest.of_suite(), digest.of_machine(), *asked)
        with work(results, kind, key, fresh=self.fresh) as place:
            if place.resumed:
                taken = len(place.log.entries) - 1
                say(f"resumed in {place.folder}: {taken} results are taken over (--fresh starts over)")
            yield place


@dataclass(frozen=True, slots=True, kw_only=True)
class Harness(Kept):
    """scripts/bench harness."""

    kernel: str
    pairs: int

    def run(self) -> int:
        """Measure."""
        kernel, accel = _kernel(self.kernel), self.accelerator()
        say(f"kernel {kernel.release}, accelerator {accel.name} ({accel.why})")
        with self.work("harness", kernel.image_digest, accel.name, str(self.pairs)) as place:
            found = harness(kernel, accel, self.pairs, place.log, Steps(self.pairs + 1).done)
            _report(accel, found.report())
            if not found.whole:
                raise KeyboardInterrupt
        return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Build(Options):
    """scripts/bench build."""

    source: str
    pairs: int

    def run(self) -> int:
        """Measure."""
        accel, debian = self.accelerator(), spec.resolve(spec.DEFAULT)
        of = source.resolve(self.source, base=shell.base())
        say(f"source {of.words}; Debian's kernel {debian.release}; accelerator {accel.name} ({accel.why})")
        _report(accel, builds(of, debian, accel, self.pairs, say).report())
        return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Flakes(Kept):
    """scripts/bench flakes."""

    runs: int | None
    kernel: str
    select: str
    keyword: str
    workers: int
    busy: int | None
    repeat: int
    frantic: bool

    @property
    def manner(self) -> Manner:
        """How the runs are made."""
        busy = (os.cpu_count() or 1) * self.frantic if self.busy is None else self.busy
        return Manner(self.select, self.workers, busy, self.keyword, self.repeat, self.frantic)

    def run(self) -> int:
        """Measure."""
        kernel, accel, manner = _kernel(self.kernel), self.accelerator(), self.manner
        runs = self.runs or (DEFAULT_RUNS if self.repeat == 1 else 1)
        with self.work("flakes", kernel.image_digest, accel.name, str(runs), repr(manner)) as place:
            trials = Trials(pytest_suite(manner.seconds * accel.slowdown), place.folder, place.log)
            pytest = shlex.join(["pytest", *manner.words(1)])
            say(f"{pytest}, kernel {kernel.release}, accelerator {accel.name} ({accel.why}), in {place.folder}")
            found = flakes(kernel, accel, runs, manner, trials, Steps(runs).done)
            _report(accel, found.report())
            if not found.whole:
                raise KeyboardInterrupt
        return EXIT_UNEXPECTED if found.unexpected() else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bisect(Options):
    """scripts/bench bisect."""

    tree: Path
    good: str
    bad: str
    test: tuple[str, ...]
    tries: int

    def run(self) -> int:
        """Measure."""
        accel = self.accelerator()
        say(f"accelerator {accel.name} ({accel.why})")
        of = Range((shell.base() / self.tree).resolve(), self.good, self.bad, self.test)
        found = bisections(of, accel, self.tries, say)
        _report(accel, found.report())
        return 0 if found.same else EXIT_UNEXPECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutate(Kept):
    """scripts/bench mutate."""

    ids: tuple[str, ...]

    def run(self) -> int:
        """Measure."""
        accel = self.accelerator()
        every = catalogue.choose(catalogue.load(), self.ids)
        chosen = every if self.ids else catalogue.sample(every, time.strftime("%Y%m%d"), SAMPLE)
        say(f"{len(chosen)} mutants upon {building.BASE}, accelerator {accel.name} ({accel.why})")
        with self.work("bench-mutate", accel.name, *(one.key for one in chosen)) as place:
            bench = Bench(building.recipe(None, Progress()), pytest_suite(RUN_SECONDS), place.folder)
            found = mutants(bench, chosen, place.log, Steps(len(chosen)).done)
            _report(accel, found.report())
            if not found.whole:
                raise KeyboardInterrupt
        return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory(Options):
    """scripts/bench memory."""

    kernel: str
    select: str

    def run(self) -> int:
        """Measure."""
        kernel, accel, manner = _kernel(self.kernel), self.accelerator(), Manner(self.select)
        with TemporaryDirectory(prefix="kfunctest-") as folder, watching(capacity.size_of(Shape().memory)) as watched:
            trials = Trials(pytest_suite(manner.seconds * accel.slowdown), Path(folder))
            found = flakes(kernel, accel, 1, manner, trials, say)
        _report(accel, found.report())
        if not found.whole:
            raise KeyboardInterrupt
        took, reckoned = watched.peak >> 20, capacity.OVERHEAD >> 20
        say(f"under {accel.name}: {kernel.release} took {took} MiB beyond its own; {reckoned} are reckoned with")
        return EXIT_UNEXPECTED if found.unexpected() or watched.peak > capacity.OVERHEAD else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
