# SPDX-License-Identifier: GPL-2.0-only
"""The quick suite against ``vng -- true`` with the same flags."""

from __future__ import annotations

import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from kfunctest import proc
from kfunctest.errors import InfraError
from kfunctest.guest import agent
from kfunctest.kernels.model import Kernel
from kfunctest.machine.accelerator import Accelerator
from kfunctest.machine.console import Console
from kfunctest.machine.vm import Shape, boot, command
from kfunctest.trial.log import Log
from kfunctest.trial.suite import pytest_suite
from kfunctest.trial.trials import Image, Trials

#: The suite that everything which one ordinary VM can check belongs to.
QUICK = "kfunc and not slow_boot and not soak"
#: Seconds with KVM that one side of a pair may take.
SIDE_SECONDS = 120.0
ROUND_TRIPS = 500


@dataclass(frozen=True, slots=True)
class Pair:
    """Seconds of ``vng -- true``, of the quick suite, and until its first test has passed."""

    boot: float
    suite: float
    first: float


@dataclass
class Harness:
    """What was measured so far. ``round_trips`` are in seconds."""

    pairs: list[Pair] = field(default_factory=list)
    round_trips: list[float] = field(default_factory=list)
    #: False when Ctrl-C ended it early.
    whole: bool = False

    def report(self) -> list[str]:
        """The lines that can be given of what there is: ratios of the two sides of a pair, never a bare time alone."""
        if not self.pairs:
            return ["nothing was measured"]
        ratios = [pair.suite / pair.boot for pair in self.pairs]
        first = [pair.first / pair.boot for pair in self.pairs]
        lines = [
            f"the quick suite takes {statistics.median(ratios):.2f} times as long as vng -- true with the same flags "
            f"(median of {len(ratios)} pairs, from {min(ratios):.2f} to {max(ratios):.2f})",
            f"its first test has passed after {statistics.median(first):.2f} times that",
        ]
        if self.round_trips:
            boot_ = statistics.median(pair.boot for pair in self.pairs)
            lines.append(
                f"a request and its answer take {1000 * statistics.median(self.round_trips):.2f} ms in the median of "
                f"{len(self.round_trips)}: {1e6 * statistics.median(self.round_trips) / boot_:.0f} millionths of "
                "vng -- true"
            )
        return lines


def harness(kernel: Kernel, accel: Accelerator, pairs: int, log: Log, say: Callable[[str], None]) -> Harness:
    """Measure ``pairs`` pairs of ``vng -- true`` and the quick suite, one after the other, then the round trips.

    Both are warm: one run of each goes before and is not counted. Pairs that are in ``log`` are taken over.
    Raises InfraError when either side fails.
    """
    found = Harness([Pair(**entry["pair"]) for entry in log.entries if "pair" in entry])
    argv = [*command(kernel.image, accel, Shape()), "--", "true"]
    # The same PATH as a run's: vng starts its parts by name.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    seconds = SIDE_SECONDS * accel.slowdown
    # Warm is with the modules compiled, as Python leaves them unless it is told not to.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with contextlib.suppress(KeyboardInterrupt), tempfile.TemporaryDirectory(prefix="kfunctest-") as home:
        for number in [0, *range(len(found.pairs) + 1, pairs + 1)]:
            # No settings of the user's, as in the suite's own VMs.
            bare = _timed(lambda: proc.run(argv, seconds=seconds, env={"HOME": home}))
            pair = Pair(bare, *_suite(kernel, accel, seconds, Path(home) / str(number)))
            kind = f"pair {number}" if number else "to warm up"
            say(f"{kind}: vng -- true {bare:.2f} s, quick suite {pair.suite:.2f} s, first test {pair.first:.2f} s")
            if number:
                log.add(pair=asdict(pair))
                found.pairs.append(pair)
        with boot(kernel, accel, Console(Path(home) / "console"), Shape()) as vm:
            found.round_trips.extend(_timed(lambda: vm.call(agent.ping)) for _ in range(ROUND_TRIPS))
        found.whole = True
    return found


def _timed(work: Callable[[], object]) -> float:
    start = time.monotonic()
    work()
    return time.monotonic() - start


def _suite(kernel: Kernel, accel: Accelerator, seconds: float, folder: Path) -> tuple[float, float]:
    """Seconds for the quick suite, and until its first test has passed."""
    first: list[float] = []
    said = bytearray()
    start = time.monotonic()

    def show(data: bytes) -> None:
        if not first:
            said.extend(data)  # the word may come in two pieces
            first.extend([time.monotonic() - start] if b" PASSED" in said else [])

    words = ["-m", QUICK, "-v", "--color=no", "--accel", accel.name]
    image = Image(kernel.spec, kernel.id, kernel.image_digest)
    ran = Trials(pytest_suite(seconds, show), folder.parent).run(image, folder.name, words)
    if ran.fault or ran.status or not first:
        why = ran.problem or f"ended with status {ran.status}"
        raise InfraError(f"the quick suite was not measured: {why}", remedy="mend it first")
    return ran.seconds, first[0]
