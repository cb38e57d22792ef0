# SPDX-License-Identifier: GPL-2.0-only
"""Removed cgroups: how many something still holds, and the end of them."""

from __future__ import annotations

from kfunctest.guest import cgroup, removal
from kfunctest.machine.interface import Target
from kfunctest.wait import wait_until

#: Seconds (with KVM) after which a cgroup that nothing holds is gone: two RCU grace periods and a workqueue.
GONE_SECONDS = 5.0
#: What is dying is pinned when as many were found so often, with so many seconds (with KVM) between.
STEADY, PAUSE = 5, 0.02


def dying(target: Target, path: str) -> dict[str, int]:
    """How many removed descendants of the cgroup ``path`` something still holds; and how many of their memcgs."""
    stat = target.call(cgroup.read_keys, path, "cgroup.stat")
    return {key: stat[key] for key in ("nr_dying_descendants", "nr_dying_subsys_memory") if key in stat}


def wait_until_gone(target: Target, path: str, what: str, before: dict[str, int]) -> None:
    """Wait until nothing holds ``what``, which was removed below ``path``: as many are dying there as ``before``.

    A workqueue drops the last reference, after a grace period. An idle CPU keeps the folios in its batch; it is made
    to let go of them first. Raises TimeoutError when it does not come to that.
    """

    def look() -> dict[str, int]:
        target.call(removal.drain_lru_batches)
        return dying(target, path)

    wait_until(
        look,
        until=lambda now: now == before,
        seconds=target.stretched(GONE_SECONDS),
        interval=0.05,
        what=f"the removed {what} to go away, as cgroup.stat of {path} tells: expected {before}",
    )


def wait_until_freed(target: Target) -> None:
    """Wait until what was removed anywhere is freed, or so pinned that nobody frees it: none is dying, or as many as
    some time ago.

    The last that a cgroup is counted in is its own count of the dying, after its memcg was freed (css_free_rwork_fn(),
    kernel/cgroup/cgroup.c); on busy CPUs that can be long after the removal.
    """
    seen: list[int] = []

    def steady(count: int) -> bool:
        seen.append(count)
        return count == 0 or seen[-STEADY:] == [count] * STEADY

    wait_until(
        lambda: dying(target, "").get("nr_dying_descendants", 0),
        until=steady,
        seconds=target.stretched(GONE_SECONDS),
        interval=target.stretched(PAUSE),
        what="removed cgroups to be freed",
    )
