# SPDX-License-Identifier: GPL-2.0-only
"""What happens while a program holds up a CPU (slow_flush.bpf.c): in one request, since no other may come through then.

The CPU takes no interrupts, those of the channel among them.
"""

from __future__ import annotations

import time

from kfunctest.guest import bpf, workers


def charge_meanwhile(handle: int, cgroup_id: int, worker: int, size: int, seconds: float) -> int:
    """Wait for the program to hold up CPU 1 in this memcg's turn, and have the worker touch ``size`` bytes meanwhile.

    It keeps them: who unmaps waits for all CPUs that may know the pages; who touches does not.
    Returns the bytes; 0 where the program did not come to it within ``seconds``, or did not wait so long.
    """
    bpf.write_global(handle, "go", 0)
    bpf.write_global(handle, "followed", 0)
    bpf.write_global(handle, "others", 0)
    bpf.write_global(handle, "watched", cgroup_id)
    late = time.monotonic() + seconds
    while not bpf.read_global(handle, "waits"):
        if time.monotonic() > late:
            bpf.write_global(handle, "watched", 0)
            return 0
        time.sleep(0.001)
    touched = workers.work(worker, "charge_anon", size)
    held_up = bpf.read_global(handle, "waits")
    bpf.write_global(handle, "go", 1)
    while bpf.read_global(handle, "waits"):  # a moment more; told nothing, the program gives up after 3 s by itself
        time.sleep(0.001)
    return touched if held_up else 0
