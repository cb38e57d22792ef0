# SPDX-License-Identifier: GPL-2.0-only
"""On which CPUs the agent runs, and what keeps them busy."""

from __future__ import annotations

import os
import signal
import time
from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

#: Seconds that each is kept busy: a few ticks of any kernel.
_BUSY = 0.03
_STATUS = "/proc/thread-self/status"


def allowed() -> set[int]:
    """The CPUs that this thread may run on, those among them that are offline.

    sched_getaffinity() leaves these out (kernel/sched/syscalls.c): who restores what it says has lost them for good.
    """
    with open(_STATUS) as file:
        masks = [line for line in file if line.startswith("Cpus_allowed:")]
    mask = int(masks[0].partition(":")[2].replace(",", ""), 16)
    return {cpu for cpu in range(mask.bit_length()) if mask >> cpu & 1}


@contextmanager
def on_one(cpu: int | None = None) -> Iterator[None]:
    """Run on this CPU for as long as the block lasts; None: on the first that is online."""
    before = allowed()
    os.sched_setaffinity(0, [min(os.sched_getaffinity(0)) if cpu is None else cpu])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def keep_awake() -> None:
    """Run on each CPU for a few ticks, and be back wherever this was allowed to run before.

    A CPU that sleeps is what deferrable timers wait for.
    """
    before = allowed()
    for cpu in sorted(os.sched_getaffinity(0)):
        os.sched_setaffinity(0, {cpu})
        until = time.monotonic() + _BUSY
        while time.monotonic() < until:
            pass
    os.sched_setaffinity(0, before)


def start_hog(cpu: int, script: str = "while :; do :; done") -> int:
    """Start a process that keeps this CPU busy, and return its process id for end_hog()."""
    before = allowed()
    os.sched_setaffinity(0, {cpu})
    try:
        return os.posix_spawn("/bin/sh", ["sh", "-c", script], {})
    finally:
        os.sched_setaffinity(0, before)


def end_hog(pid: int) -> None:
    """End it."""
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
