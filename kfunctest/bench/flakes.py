# SPDX-License-Identifier: GPL-2.0-only
"""The suite many times over on one kernel: whatever is not the same each time, or not good, is named.

A run may repeat each test, in one boot (pytest-repeat). What it found is read from its results file, and nothing is
concluded from a run without a whole one.
"""

from __future__ import annotations

import contextlib
import re
import shlex
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from kfunctest import proc
from kfunctest.kernels.model import Kernel
from kfunctest.machine.accelerator import Accelerator
from kfunctest.plugin import header
from kfunctest.results import Outcome, Result, Run
from kfunctest.trial.reading import Fault, SuiteRun
from kfunctest.trial.trials import Image, Trials

#: Seconds with KVM that one run may take: the quick suite and the tests that need a VM of their own.
RUN_SECONDS = 600.0
#: By how much kernels that are never idle, and a busy host, stretch a run.
FRANTIC_SLOWDOWN = 5
#: Runs of which no result is believed.
UNREADABLE = (Fault.LOST, Fault.FOREIGN)
BUSY = (sys.executable, "-c", "while True: pass")


@dataclass(frozen=True, slots=True)
class Manner:
    """How the runs are made: which tests, how many VMs at once in every other run (0: one each time), and how many busy
    processes the host has beside them.

    ``repeat``: how often a run has each test, one after the other in one boot; several VMs then share the files of
    tests, in every run. ``frantic``: the kernel does without a pause what it does by itself.
    """

    select: str = "kfunc"
    workers: int = 0
    busy: int = 0
    keyword: str = ""
    repeat: int = 1
    frantic: bool = False

    def words(self, number: int) -> list[str]:
        """What run ``number``, from 1, has for pytest."""
        words = ["-m", self.select]
        words += ["-k", self.keyword] if self.keyword else []
        words += ["--frantic"] if self.frantic else []
        words += ["--count", str(self.repeat)] if self.repeat > 1 else []
        if self.workers and (self.repeat > 1 or number % 2 == 0):
            words += ["-n", str(self.workers)]
            words += ["--dist", "loadfile"] if self.repeat > 1 else []
        return words

    @property
    def seconds(self) -> float:
        """Seconds that a run with KVM may take."""
        return RUN_SECONDS * self.repeat * (FRANTIC_SLOWDOWN if self.frantic else 1)

    def test(self, name: str) -> str:
        """The test of which ``name`` is a repetition: ``f[x-3-50]`` is one of ``f[x]``, ``f[3-50]`` of ``f``."""
        if self.repeat == 1:
            return name
        return re.sub(rf"(\[|-)\d+-{self.repeat}\]$", lambda found: "]" if found[1] == "-" else "", name)


@dataclass
class Flakes:
    """The runs so far."""

    kernel: str
    asked: int
    runs: list[SuiteRun] = field(default_factory=list)
    manner: Manner = field(default_factory=Manner)

    @property
    def whole(self) -> bool:
        """Whether all runs were made."""
        return len(self.runs) == self.asked

    def unexpected(self) -> list[str]:
        """A line for all that is not as it must be, in the order in which it was seen."""
        return [line for line, _ in self._unexpected()]

    def _unexpected(self) -> list[tuple[str, str]]:
        """The same, each with the test that it is about, empty where it is about none."""
        usual = self._usual()
        return [
            (f"run {number}: {line}", self.manner.test(test))
            for number, once in enumerate(self.runs, 1)
            for line, test in self._seen(once, usual)
        ]

    def _usual(self) -> dict[tuple[str, str], Outcome]:
        """The outcome that each test had first: a test that is skipped once and passes once has changed."""
        found: dict[tuple[str, str], Outcome] = {}
        for once in self.runs:
            for result in _results(once):
                found.setdefault((self.manner.test(result.test), result.kernel), result.outcome)
        return found

    def _seen(self, once: SuiteRun, usual: dict[tuple[str, str], Outcome]) -> list[tuple[str, str]]:
        if once.run is None or once.fault in UNREADABLE:
            return [(f"status {once.status}, {once.problem}", "")]
        lines = [
            (line, result.test)
            for result in once.run.results
            if (line := _wrong(result, usual[self.manner.test(result.test), result.kernel]))
        ]
        for between in once.run.between:
            neighbours = f"between {between.after or 'the boot'} and {between.before or 'the end'}"
            lines += [(f"{neighbours}: {splat.line}", "") for splat in between.splats]
        lines += [(f"{test} has no result", test) for test in self._missing(once.run, usual)]
        if not any(result.outcome.judged for result in once.run.results):
            lines.append(("no test was put to the kernel", ""))
        if once.status and not lines:
            lines.append((f"status {once.status}, though each of its {len(once.run.results)} results is good", ""))
        if once.problem and not lines:
            lines.append((once.problem, ""))
        return lines

    def _missing(self, run: Run, usual: dict[tuple[str, str], Outcome]) -> list[str]:
        """Repetitions that were planned and have no result, and tests that others runs have and this one has not."""
        there = {(self.manner.test(result.test), result.kernel) for result in run.results}
        unreached = {test for test, _ in run.unreached}
        absent = {test for test, _ in usual.keys() - there}
        return sorted(unreached | (absent - {self.manner.test(test) for test in unreached}))

    def _often(self) -> list[str]:
        """Each test that was not as it must be, with how often."""
        counts = Counter(test for _, test in self._unexpected() if test)
        of = self.manner.repeat * len(self.runs)
        return [f"{test}: {count} of {of} repetitions unexpected" for test, count in sorted(counts.items())]

    def _boots(self) -> list[str]:
        """Tests that had to be repeated in more than one boot of a run."""
        lines = []
        for number, once in enumerate(self.runs, 1):
            consoles: dict[str, set[str]] = {}
            for result in _results(once):
                consoles.setdefault(self.manner.test(result.test), set()).add(result.console)
            lines += [
                f"run {number}: {test} was repeated in {len(found)} boots, not in one"
                for test, found in consoles.items()
                if len(found) > 1
            ]
        return lines

    def report(self) -> list[str]:
        """The lines to print."""
        listed = _listed(*self.runs) or "none"
        results_ = sum(len(_results(once)) for once in self.runs)
        unexpected = self.unexpected()
        return [
            f"{len(self.runs)} of {self.asked} runs on {self.kernel}, {results_} results: {listed}",
            *unexpected,
            *(self._often() if self.manner.repeat * self.asked > 1 else ()),
            *(self._boots() if self.manner.repeat > 1 else ()),
            f"{len(unexpected)} unexpected",
        ]


def flakes(
    kernel: Kernel, accel: Accelerator, runs: int, manner: Manner, trials: Trials, say: Callable[[str], None]
) -> Flakes:
    """Run the suite ``runs`` times in this manner, each into a directory of its own. Ctrl-C ends it early."""
    image = Image(kernel.spec, kernel.id, kernel.image_digest)
    found = Flakes(kernel.release, runs, manner=manner)
    with contextlib.suppress(KeyboardInterrupt), contextlib.ExitStack() as beside:
        for _ in range(manner.busy):
            beside.enter_context(proc.spawn(BUSY))
        for number in range(1, runs + 1):
            words = manner.words(number)
            more = ["-q", "--color=no", "--accel", accel.name, *header.accepting(kernel)]
            once = trials.run(image, f"{number:03}", [*words, *more])
            found.runs.append(once)
            say(f"{shlex.join(words)}: status {once.status}, {once.seconds:.0f} s: {_listed(once) or once.problem}")
    return found


def _listed(*runs: SuiteRun) -> str:
    counts = Counter(str(result.outcome) for once in runs for result in _results(once))
    return ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))


def _results(once: SuiteRun) -> tuple[Result, ...]:
    return once.run.results if once.run and once.fault not in UNREADABLE else ()


def _wrong(result: Result, first: Outcome) -> str:
    """What is not as it must be about a result, in one line; empty where nothing is."""
    splats = [splat.line for splat in result.splats if not splat.expected]
    if result.outcome is first and not result.outcome.bad and result.outcome is not Outcome.INFRA and not splats:
        return ""
    changed = "" if result.outcome is first else f" (first: {first})"
    return ": ".join(filter(None, (f"{result.test} {result.outcome}{changed}", result.message or ", ".join(splats))))
