# SPDX-License-Identifier: GPL-2.0-only
"""The suite many times over on one kernel: whatever is not the same each time, or not good, is named.

What a run found is read from its results file, and nothing is concluded from a run without a whole one.
"""

from __future__ import annotations

import contextlib
import shlex
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kfunctest import proc, results
from kfunctest.kernels.model import Kernel
from kfunctest.plugin import header
from kfunctest.results import Incomplete, Outcome, Result, Run
from kfunctest.target.accelerator import Accelerator

CHECKOUT = Path(__file__).resolve().parents[2]
#: Seconds with KVM that one run may take: the quick suite and the tests that need a VM of their own.
RUN_SECONDS = 600.0
BUSY = (sys.executable, "-c", "while True: pass")


@dataclass(frozen=True, slots=True)
class Manner:
    """How the runs are made: which tests, how many VMs at once in every other run (0: one each time), and how many busy
    processes the host has beside them.
    """

    select: str = "kfunc"
    workers: int = 0
    busy: int = 0

    def words(self, number: int) -> list[str]:
        """What run ``number``, from 1, has for pytest."""
        return ["-m", self.select, *(["-n", str(self.workers)] if self.workers and number % 2 == 0 else [])]


@dataclass(frozen=True, slots=True)
class Once:
    """One run: pytest's status, its wall-clock seconds, its results, or what is wrong with those in one line."""

    status: int
    seconds: float
    run: Run | None
    problem: str = ""


@dataclass
class Flakes:
    """The runs so far."""

    kernel: str
    asked: int
    runs: list[Once] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Whether all runs were made."""
        return len(self.runs) == self.asked

    def unexpected(self) -> list[str]:
        """A line for all that is not as it must be, in the order in which it was seen."""
        usual = self._usual()
        return [f"run {number}: {line}" for number, once in enumerate(self.runs, 1) for line in _seen(once, usual)]

    def _usual(self) -> dict[tuple[str, str], Outcome]:
        """The outcome that each test had first: a test that is skipped once and passes once has changed."""
        found: dict[tuple[str, str], Outcome] = {}
        for once in self.runs:
            for result in _results(once):
                found.setdefault((result.test, result.kernel), result.outcome)
        return found

    def report(self) -> list[str]:
        """The lines to print."""
        listed = _listed(*self.runs) or "none"
        results_ = sum(len(_results(once)) for once in self.runs)
        unexpected = self.unexpected()
        return [
            f"{len(self.runs)} of {self.asked} runs on {self.kernel}, {results_} results: {listed}",
            *unexpected,
            f"{len(unexpected)} unexpected",
        ]


def flakes(
    kernel: Kernel, accel: Accelerator, runs: int, manner: Manner, folder: Path, say: Callable[[str], None]
) -> Flakes:
    """Run the suite ``runs`` times in this manner, each into a folder of its own below ``folder``.

    Ctrl-C ends it early. Raises InfraError when a run does not end within its deadline.
    """
    found = Flakes(kernel.release, runs)
    with contextlib.suppress(KeyboardInterrupt), contextlib.ExitStack() as beside:
        for _ in range(manner.busy):
            beside.enter_context(proc.spawn(BUSY))
        for number in range(1, runs + 1):
            words = manner.words(number)
            once = _once(kernel, accel, words, folder / f"{number:03}")
            found.runs.append(once)
            how = f"run {number} of {runs}, {shlex.join(words)}"
            say(f"{how}: status {once.status}, {once.seconds:.0f} s: {_listed(once) or once.problem}")
    return found


def _once(kernel: Kernel, accel: Accelerator, words: Sequence[str], folder: Path) -> Once:
    argv = [sys.executable, "-m", "pytest", *words, "-q", "--color=no", "-p", "no:cacheprovider"]
    argv += ["--kernel", kernel.spec, "--accel", accel.name, "--results", str(folder)]
    argv += [*header.accepting(kernel), "selftests"]
    start = time.monotonic()
    # Words of somebody's own for pytest could leave out most tests.
    env = {"PYTEST_ADDOPTS": None}
    done = proc.run(argv, seconds=RUN_SECONDS * accel.slowdown, cwd=CHECKOUT, env=env, check=False)
    seconds = time.monotonic() - start
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "output.txt").write_text(done.stdout + done.stderr)
    try:
        files = list(folder.glob(f"[0-9]*/{results.NAME}"))
        return Once(done.status, seconds, results.read(files[0] if files else folder / results.NAME))
    except Incomplete as problem:
        return Once(done.status, seconds, None, str(problem))


def _listed(*runs: Once) -> str:
    counts = Counter(str(result.outcome) for once in runs for result in _results(once))
    return ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))


def _results(once: Once) -> tuple[Result, ...]:
    return once.run.results if once.run else ()


def _seen(once: Once, usual: dict[tuple[str, str], Outcome]) -> list[str]:
    if once.run is None:
        return [f"status {once.status}, {once.problem}"]
    lines = [line for result in once.run.results if (line := _wrong(result, usual[result.test, result.kernel]))]
    for between in once.run.between:
        neighbours = f"between {between.after or 'the boot'} and {between.before or 'the end'}"
        lines += [f"{neighbours}: {splat.line}" for splat in between.splats]
    there = {(result.test, result.kernel) for result in once.run.results}
    missing = {*once.run.unreached, *usual} - there
    lines += [f"{test} has no result" for test, _ in sorted(missing)]
    if not any(result.outcome.judged for result in once.run.results):
        lines.append("no test was put to the kernel")
    if once.status and not lines:
        lines.append(f"status {once.status}, though each of its {len(there)} results is good")
    return lines


def _wrong(result: Result, first: Outcome) -> str:
    """What is not as it must be about a result, in one line; empty where nothing is."""
    splats = [splat.line for splat in result.splats if not splat.expected]
    if result.outcome is first and not result.outcome.bad and result.outcome is not Outcome.INFRA and not splats:
        return ""
    changed = "" if result.outcome is first else f" (first: {first})"
    return ": ".join(filter(None, (f"{result.test} {result.outcome}{changed}", result.message or ", ".join(splats))))
