# SPDX-License-Identifier: GPL-2.0-only
"""How exact a measurement may be asked to be, and why. No test holds a tolerance of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

#: Pages that each CPU charges ahead and keeps in stock for its next charges: MEMCG_CHARGE_BATCH, linux/memcontrol.h.
CHARGE_BATCH_PAGES = 64

#: Updates that each online CPU may have pending before a flush is not a no-op, in units of this per CPU; and the
#: batch that a CPU holds back before it reports any: MEMCG_CHARGE_BATCH again, in memcg_vmstats_needs_flush() and
#: memcg_rstat_updated(), mm/memcontrol.c.
FLUSH_BATCH_UPDATES = 64

#: Pages that a worker's interpreter may fault in on its own while it serves one command: copies of what it shares with
#: its parent, a new arena, a page table. Not the kernel's inexactness but our workload's: seen below 40.
WORKER_PAGES = 64


def stock(cpus: int, page_size: int) -> int:
    """Bytes by which memory.current may exceed what is in use: every CPU's stock."""
    return CHARGE_BATCH_PAGES * cpus * page_size


def surely_flushed(cpus: int) -> int:
    """Updates after which a flush is certain not to be a no-op: the threshold, and what every CPU may hold back."""
    return 2 * FLUSH_BATCH_UPDATES * cpus + 1


@dataclass(frozen=True, slots=True)
class Sandwich:
    """One value read between two readings of another source: ``before``, ``seen``, ``after``.

    Where ``before`` equals ``after`` nothing moved, and ``seen`` must match exactly; otherwise it lies between them.
    """

    before: int
    seen: int
    after: int

    def __bool__(self) -> bool:
        return min(self.before, self.after) <= self.seen <= max(self.before, self.after)

    def __str__(self) -> str:
        if self.before == self.after:
            return f"expected {self.before}, seen {self.seen} (off by {self.seen - self.before:+d})"
        return f"expected between {self.before} and {self.after}, seen {self.seen}"


def sandwich(outer: Callable[[], int], inner: Callable[[], int]) -> Sandwich:
    """Read ``outer``, ``inner``, ``outer``."""
    before = outer()
    seen = inner()
    return Sandwich(before, seen, outer())
