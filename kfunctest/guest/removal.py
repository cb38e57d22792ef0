# SPDX-License-Identifier: GPL-2.0-only
"""The end of a test's cgroups, in one request, and what the kernel has to say of it."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager

from kfunctest.guest import cgroup, workers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: 1 where synchronize_rcu() may return before the callbacks of its grace period have run: kernel/rcu/tree.c.
WAKES_EARLY = ("/sys/module/rcutree/parameters/rcu_normal_wake_from_gp", "/sys/kernel/rcu_expedited")


def end(pids: Sequence[int], paths: Sequence[str], seconds: float, settle: bool) -> None:
    """Kill and reap the workers, then remove the cgroups in this order; each may take ``seconds`` to be left.

    With ``settle``, wait until the kernel has looked at the last references, so that what it says then is heard.
    """
    for pid in pids:
        workers.end(pid)
    with _on_one_cpu():
        for path in paths:
            if settle:
                _wait_until_left(path, seconds)
            cgroup.remove(path, seconds)
        if settle:
            _callbacks_have_run()


def _callbacks_have_run() -> None:
    """Wait until the RCU callbacks that removals on this CPU left behind have run.

    A count that underflowed is found by one of them (percpu_ref_switch_to_atomic_rcu(), lib/percpu-refcount.c). A CPU
    runs them in order, and what synchronize_rcu() waits for is one more, unless it wakes early: the callbacks may then
    lag behind, so they get a second grace period.
    """
    for _ in range(1 + any(map(_is_on, WAKES_EARLY))):
        cgroup.grace_period()


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


@contextmanager
def _on_one_cpu() -> Iterator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, [min(before)])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
