# SPDX-License-Identifier: GPL-2.0-only
"""The quick suite against ``vng -- true`` with the same flags."""

from __future__ import annotations

import contextlib
import os
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from kfunctest import proc
from kfunctest.errors import InfraError
from kfunctest.guest import agent
from kfunctest.kernels.model import Kernel
from kfunctest.target.accelerator import Accelerator
from kfunctest.target.console import Console
from kfunctest.target.vm import Shape, boot, command

CHECKOUT = Path(__file__).resolve().parents[2]
#: The suite that everything which one ordinary VM can check belongs to.
QUICK = "kfunc and not slow_boot and not soak"
#: Seconds with KVM that one side of a pair may take.
SIDE_SECONDS = 120.0
ROUND_TRIPS = 500


@dataclass
class Harness:
    """What was measured so far: one entry a pair, in seconds."""

    boots: list[float] = field(default_factory=list)
    suites: list[float] = field(default_factory=list)
    first_tests: list[float] = field(default_factory=list)
    round_trips: list[float] = field(default_factory=list)
    #: False when Ctrl-C ended it early.
    whole: bool = False

    def report(self) -> list[str]:
        """The lines that can be given of what there is: ratios of the two sides of a pair, never a bare time alone."""
        ratios = [suite / boot_ for boot_, suite in zip(self.boots, self.suites, strict=False)]
        if not ratios:
            return ["nothing was measured"]
        first = [test / boot_ for boot_, test in zip(self.boots, self.first_tests, strict=False)]
        lines = [
            f"the quick suite takes {statistics.median(ratios):.2f} times as long as vng -- true with the same flags "
            f"(median of {len(ratios)} pairs, from {min(ratios):.2f} to {max(ratios):.2f})",
            f"its first test has passed after {statistics.median(first):.2f} times that",
        ]
        if self.round_trips:
            share = statistics.median(self.round_trips) / statistics.median(self.boots)
            lines.append(
                f"a request and its answer take {1000 * statistics.median(self.round_trips):.2f} ms in the median of "
                f"{len(self.round_trips)}: {1e6 * share:.0f} millionths of vng -- true"
            )
        return lines


def harness(kernel: Kernel, accel: Accelerator, pairs: int, say: Callable[[str], None]) -> Harness:
    """Measure ``pairs`` pairs of ``vng -- true`` and the quick suite, one after the other, then the round trips.

    Both are warm: one run of each goes before and is not counted. Raises InfraError when either side fails.
    """
    found = Harness()
    argv = [*command(kernel.image, accel, Shape()), "--", "true"]
    # The same PATH as a run's: vng starts its parts by name.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    seconds = SIDE_SECONDS * accel.slowdown
    # Warm is with the modules compiled, as Python leaves them unless it is told not to.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with contextlib.suppress(KeyboardInterrupt), tempfile.TemporaryDirectory(prefix="kfunctest-") as home:
        for pair in range(pairs + 1):
            # No settings of the user's, as in the suite's own VMs.
            bare = _timed(lambda: proc.run(argv, seconds=seconds, env={"HOME": home}))
            suite, first = _suite(kernel, accel, seconds)
            kind = f"pair {pair} of {pairs}" if pair else "to warm up"
            say(f"{kind}: vng -- true {bare:.2f} s, quick suite {suite:.2f} s, first test {first:.2f} s")
            if pair:
                found.boots.append(bare)
                found.suites.append(suite)
                found.first_tests.append(first)
        with boot(kernel, accel, Console(Path(home) / "console"), Shape()) as vm:
            found.round_trips.extend(_timed(lambda: vm.call(agent.ping)) for _ in range(ROUND_TRIPS))
        found.whole = True
    return found


def _timed(work: Callable[[], object]) -> float:
    start = time.monotonic()
    work()
    return time.monotonic() - start


def _suite(kernel: Kernel, accel: Accelerator, seconds: float) -> tuple[float, float]:
    """Seconds for the quick suite as scripts/kfunc runs it, and until its first test has passed."""
    argv = [sys.executable, "-u", "-m", "pytest", "-o", "testpaths=selftests", "-m", QUICK]
    argv += ["-v", "--color=no", "--kernel", kernel.spec]
    first = 0.0
    start = time.monotonic()
    lines: list[str] = []
    with proc.spawn([*argv, "--accel", accel.name], cwd=CHECKOUT, stdout=proc.PIPE, stderr=proc.STDOUT) as process:
        assert process.stdout is not None
        deadline = threading.Timer(seconds, proc.kill_group, [process])
        deadline.start()
        for line in process.stdout:
            lines.append(line.decode(errors="backslashreplace").rstrip())
            if not first and " PASSED " in lines[-1]:
                first = time.monotonic() - start
        deadline.cancel()
        status = process.wait()
    if status or not first:
        why = f"did not end within {seconds:g} s" if status == -signal.SIGKILL else f"ended with status {status}"
        raise InfraError(f"the quick suite {why}", remedy="mend it first", evidence="\n".join(lines[-15:]))
    return time.monotonic() - start, first
