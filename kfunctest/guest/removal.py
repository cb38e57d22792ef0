# SPDX-License-Identifier: GPL-2.0-only
"""The end of a test's cgroups, in one request, and what the kernel has to say of it."""

from __future__ import annotations

import mmap
import os
import time

from kfunctest.guest import affinity, cgroup, workers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: 1 where synchronize_rcu() may return before the callbacks of its grace period have run: kernel/rcu/tree.c.
WAKES_EARLY = ("/sys/module/rcutree/parameters/rcu_normal_wake_from_gp", "/sys/kernel/rcu_expedited")


def end(pids: Sequence[int], paths: Sequence[str], seconds: float, settle: bool) -> None:
    """Kill and reap the workers, then remove the cgroups in this order; each may take ``seconds`` to be left.

    With ``settle``, wait until the kernel has looked at the last references and taken the memcgs offline, so that what
    it says then is heard. Whatever fails, the rest is done; the first error is raised then.
    """
    first: Exception | None = None

    def attempt(step: Callable[..., None], *args: object) -> None:
        nonlocal first
        try:
            step(*args)
        except Exception as error:
            first = first or error

    for pid in pids:
        attempt(_end, pid)
    with affinity.on_one():
        for path in paths:
            attempt(remove, path, seconds)
        if settle:
            _callbacks_have_run()
    if first:
        raise first


def _end(pid: int) -> None:
    if workers.lives(pid):
        workers.end(pid)


def remove(path: str, seconds: float) -> None:
    """Remove the cgroup when the last dying task has left it, or after ``seconds``: what that still gives back is then
    the memcg's own, and not its parent's.
    """
    _wait_until_left(path, seconds)
    cgroup.remove(path, seconds)


def _callbacks_have_run() -> None:
    """Wait until the RCU callbacks that removals on this CPU left behind have run, and those that come of them.

    A count that underflowed is found by the first (percpu_ref_switch_to_atomic_rcu(), lib/percpu-refcount.c), which let
    the memcg go offline after a second grace period (css_killed_ref_fn(), kernel/cgroup/cgroup.c). A CPU runs them in
    order, and what synchronize_rcu() waits for is one more, unless it wakes early: the callbacks may then lag behind,
    and get one grace period more. Where :func:`kfunctest.guest.cgroup.grace_period` is not let wait, nothing is.
    """
    for _ in range(2 + any(map(_is_on, WAKES_EARLY))):
        cgroup.grace_period()


def wait_for_rcu_callbacks() -> None:
    """Wait until the RCU callbacks that are queued on any CPU have run.

    They free page tables, among others (tlb_remove_table_free(), mm/mmu_gather.c), and uncharge what these were charged
    for: an update of the memcg that comes long after munmap() where CPUs are busy.
    """
    for cpu in sorted(os.sched_getaffinity(0)):
        with affinity.on_one(cpu):
            _callbacks_have_run()


def drain_lru_batches() -> None:
    """Have each CPU put the folios that it gathers for the LRU lists on them.

    A folio in such a batch stays charged after its owner's end, and pins its memcg. An idle CPU never empties its batch
    (lru_add_drain(), mm/swap.c). MADV_FREE does, on the CPU that runs it (madvise_free_single_vma(), mm/madvise.c);
    munmap() and exit() no longer do in 7.2.
    """
    for cpu in sorted(os.sched_getaffinity(0)):
        with affinity.on_one(cpu), mmap.mmap(-1, mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as page:
            page.madvise(mmap.MADV_FREE)


def _is_on(parameter: str) -> bool:
    try:
        return int(cgroup.read_file(parameter)) > 0
    except FileNotFoundError:
        return False


def _wait_until_left(path: str, seconds: float) -> None:
    """Until the last dying task has left: otherwise a workqueue ends the memcg, later, and on any CPU.

    kill_css_finish(), kernel/cgroup/cgroup.c (7.2; older kernels refuse to remove it until then). v1 does not tell.
    """
    deadline = time.monotonic() + seconds
    while os.path.exists(f"{cgroup.ROOT}/{path}/cgroup.events"):
        if "populated 0" in cgroup.read(path, "cgroup.events") or time.monotonic() > deadline:
            return
        time.sleep(0.001)
