# SPDX-License-Identifier: GPL-2.0-only
"""Removed cgroups: how many something still holds, and the end of them."""

from __future__ import annotations

from kfunctest.guest import cgroup
from kfunctest.target.protocol import Target
from kfunctest.wait import wait_until

#: Seconds (with KVM) after which a cgroup that nothing holds is gone: two RCU grace periods and a workqueue.
GONE_SECONDS = 5.0


def dying(target: Target, path: str) -> dict[str, int]:
    """How many removed descendants of the cgroup ``path`` something still holds; and how many of their memcgs."""
    stat = target.call(cgroup.read_keys, path, "cgroup.stat")
    return {key: stat[key] for key in ("nr_dying_descendants", "nr_dying_subsys_memory") if key in stat}


def wait_until_gone(target: Target, path: str, what: str, before: dict[str, int]) -> None:
    """Wait until nothing holds ``what``, which was removed below ``path``: as many are dying there as ``before``.

    A workqueue drops the last reference, after a grace period. Raises TimeoutError when it does not come to that.
    """
    wait_until(
        lambda: dying(target, path),
        until=lambda now: now == before,
        seconds=target.stretched(GONE_SECONDS),
        interval=0.05,
        what=f"the removed {what} to go away, as cgroup.stat of {path} tells: expected {before}",
    )
