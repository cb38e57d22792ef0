# SPDX-License-Identifier: GPL-2.0-only
"""How exact a measurement may be asked to be, and why. No test holds a tolerance of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

#: Pages that each CPU charges ahead and keeps in stock for its next charges: MEMCG_CHARGE_BATCH, linux/memcontrol.h.
CHARGE_BATCH_PAGES = 64

#: Updates that each online CPU may have pending before a flush is not a no-op, in units of this per CPU; and the
#: batch that a CPU holds back before it reports any: MEMCG_CHARGE_BATCH again, in memcg_vmstats_needs_flush() and
#: memcg_rstat_updated(), mm/memcontrol.c.
FLUSH_BATCH_UPDATES = 64

#: Seconds between two flushes of everything by the kernel's own flusher: FLUSH_TIME, mm/memcontrol.c. It waits so long
#: after each, to the tick; its timer is deferrable, so that a CPU that sleeps may let it wait for longer.
FLUSH_PERIOD = 2.0

#: Pages that a worker's interpreter may fault in on its own while it serves one command: copies of what it shares with
#: its parent, a new arena, a page table. Not the kernel's inexactness but our workload's: seen below 40.
WORKER_PAGES = 64

#: Folios that a CPU gathers before it puts them on an LRU list: PAGEVEC_SIZE, linux/folio_batch.h.
FOLIO_BATCH = 31

#: Bytes that an object of the slab is charged beyond its size: the pointer to its obj_cgroup, obj_full_size(),
#: mm/memcontrol.c.
SLAB_POINTER = 8

#: Pages of a kernel stack on x86-64, without and with KASAN: THREAD_SIZE_ORDER, arch/x86/include/asm/page_64_types.h.
STACK_PAGES = (4, 8)


def slab_held_back(cpus: int) -> int:
    """Bytes of slab of which the CPUs have not told yet that they were freed: S16_MAX of either kind on each.

    __account_obj_stock(), mm/memcontrol.c.
    """
    return 2 * cpus << 15


def small_objects_rest(cpus: int, page_size: int) -> int:
    """Bytes that may stay charged for small objects though none is left: of each CPU the rest of a page.

    Such rests are put together only when the memcg's next object comes, or in the end (drain_obj_stock_slot() and
    obj_cgroup_release(), mm/memcontrol.c).
    """
    return cpus * page_size


def flush_lag(cpus: int) -> int:
    """Updates that a flush may leave pending, and so pages by which a value read after it may be behind.

    After 1000 pages, say, a flush is certain, unless the kernel's own flusher, which runs every 2 s, struck at page
    900: the last 100 are then too few for a flush. What it forgets besides, if it takes its time, has no bound: see
    :class:`Rounds`, and Kfuncs.settled() for where it matters.
    """
    return (2 * FLUSH_BATCH_UPDATES - 1) * cpus


def threshold(cpus: int) -> int:
    """Updates of which more must be pending for a flush not to be a no-op: memcg_vmstats_needs_flush()."""
    return FLUSH_BATCH_UPDATES * cpus


def stock(cpus: int, page_size: int) -> int:
    """Bytes by which memory.current may exceed what is in use: every CPU's stock."""
    return CHARGE_BATCH_PAGES * cpus * page_size


def emptied(cpus: int, page_size: int) -> int:
    """Bytes by which memory.current may be above 0 though nothing is in use: every CPU's stock, the folios that it had
    not put on a list yet when they were unmapped, and rests of pages for small objects.
    """
    return stock(cpus, page_size) + FOLIO_BATCH * cpus * page_size + small_objects_rest(cpus, page_size)


def surely_flushed(cpus: int) -> int:
    """Updates after which a flush is not a no-op, unless the kernel's flusher forgets them (see :class:`Rounds`): the
    threshold, and what every CPU may hold back.
    """
    return 2 * FLUSH_BATCH_UPDATES * cpus + 1


def plenty(cpus: int, page_size: int) -> int:
    """Bytes to charge where a flush must be certain and every slack small beside them: 4 MiB on two CPUs.

    Everything that a kernel batches grows with its CPUs, so no fixed size would do.
    """
    return 4 * surely_flushed(cpus) * page_size


def usage_slack(cpus: int, page_size: int) -> int:
    """Bytes by which the growth of usage may differ from the bytes that a worker touched."""
    return stock(cpus, page_size) + WORKER_PAGES * page_size


def flushed_slack(cpus: int, page_size: int) -> int:
    """Bytes by which the growth of an item, between two flushes, may differ from the bytes that a worker touched."""
    return (flush_lag(cpus) + WORKER_PAGES) * page_size


def settled_slack(page_size: int) -> int:
    """Bytes by which an item may differ from what a worker made, that nothing else in the memcg moves.

    Kfuncs.settled() brings up all that was done before, to the last update; what the worker itself needed meanwhile
    remains.
    """
    return WORKER_PAGES * page_size


def list_held_back(cpus: int, page_size: int) -> int:
    """Bytes by which an LRU list's length may be behind: each CPU moves folios there in batches.

    PAGEVEC_SIZE, linux/folio_batch.h (linux/pagevec.h); one batch for each kind of move: added, activated, ...
    """
    return 2 * FOLIO_BATCH * cpus * page_size


def socket_bytes(sent: int, page_size: int) -> tuple[int, int]:
    """Least and most bytes of socket memory for ``sent`` bytes that wait to be read: skbs have heads and slack.

    A skb's truesize is at most twice its data here: tcp_sendmsg() fills fragments of 32 KiB.
    """
    return sent, 2 * sent + WORKER_PAGES * page_size


#: Bytes of per-CPU memory on each CPU that may be had without a charge, and nobody else has: the chunk made at boot,
#: PERCPU_DYNAMIC_RESERVE, linux/percpu.h. That is 28 KiB, or 112 with CONFIG_RANDOM_KMALLOC_CACHES or its like, rounded
#: up to pages.
PER_CPU_FIRST_CHUNK = 128 << 10


def memcg_per_cpu(sizes: Sequence[int], cpus: int) -> int:
    """Bytes of per-CPU memory that are charged for allocations of these ``sizes`` on each CPU that there might be.

    For every 4 bytes of an allocation a pointer of 8 is charged, too (pcpu_obj_full_size(), mm/percpu-internal.h). What
    finds room in the chunk made at boot is not charged at all (pcpu_memcg_post_alloc_hook(), mm/percpu.c).
    """
    return sum(size * cpus + size // 4 * 8 for size in sizes)


class Rounds:
    """Rounds of charging, reading, flushing and reading again: in which of them is the growth known exactly?

    In one that ends with a flush of everything, as the one before did; and that is a flush before which more than
    ``threshold`` updates were pending. They may be fewer although more were made: the kernel's own flusher sets their
    count to zero when it is done, and so forgets those made since it read the values (mem_cgroup_css_rstat_flush(),
    mm/memcontrol.c). The values are not lost: the next flush brings them up.
    """

    def __init__(self, threshold: int) -> None:
        #: How many rounds could be judged, and in how many of them the first reading was what the last flush had left.
        self.judged = self.stale = 0
        self._threshold = threshold
        self._last: int | None = None

    def grown(self, before: int, pending: int, after: int) -> int | None:
        """By how much the value grew from the last round's flush to this round's; None where that cannot be told."""
        last, self._last = self._last, after if pending > self._threshold else None
        if last is None or self._last is None:
            return None
        self.judged += 1
        self.stale += before == last
        return after - last


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
