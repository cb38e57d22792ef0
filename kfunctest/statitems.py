# SPDX-License-Identifier: GPL-2.0-only
"""Which enumerators memcg tracks and in which unit, as data: what a kernel of these options must answer for each.

Facts from ``memcg_node_stat_items[]``, ``memcg_stat_items[]``, ``memcg_vm_event_stat[]`` and ``memory_stats[]``,
mm/memcontrol.c of 6.12, 7.2 and 7.3. A kernel is asked by names of its own BTF and by its options, not its version.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from kfunctest.statkeys import PAGE_STATE, SUMS, VM_EVENTS

#: Bounds of the enums, which are no items.
BOUNDS: Final = frozenset({"NR_VM_NODE_STAT_ITEMS", "MEMCG_NR_STAT", "NR_VM_EVENT_ITEMS", "MEMCG_NR_MEMORY_EVENTS"})

#: What memcg tracks and memory.stat does not print.
UNPRINTED_STATES: Final = frozenset(
    {
        *("MEMCG_SWAP", "NR_HUGETLB", "NR_VMSCAN_WRITE", "PGROTATE_ANON", "PGROTATE_FILE"),
        *("PGSCAN_ANON", "PGSCAN_FILE", "PGSTEAL_ANON", "PGSTEAL_FILE"),
    }
)
UNPRINTED_EVENTS: Final = frozenset({"PGPGIN", "PGPGOUT"})

#: Options without which memcg does not track an item though the kernel has it.
OPTIONS: Final = {
    "NR_SWAPCACHE": "CONFIG_SWAP",
    "NR_HUGETLB": "CONFIG_HUGETLB_PAGE",
    "PGPROMOTE_SUCCESS": "CONFIG_NUMA_BALANCING",
    **dict.fromkeys(UNPRINTED_EVENTS, "CONFIG_MEMCG_V1"),
    **dict.fromkeys(("SWPIN_ZERO", "SWPOUT_ZERO"), "CONFIG_SWAP"),
    **dict.fromkeys(("ZSWPIN", "ZSWPOUT", "ZSWPWB"), "CONFIG_ZSWAP"),
    **dict.fromkeys(
        ("THP_FAULT_ALLOC", "THP_COLLAPSE_ALLOC", "THP_SWPOUT", "THP_SWPOUT_FALLBACK"), "CONFIG_TRANSPARENT_HUGEPAGE"
    ),
    **dict.fromkeys(("NUMA_PAGE_MIGRATE", "NUMA_PTE_UPDATES", "NUMA_HINT_FAULTS"), "CONFIG_NUMA_BALANCING"),
}

#: Options without which memory.stat leaves out a key whose item memcg tracks all the same.
KEY_OPTIONS: Final = {
    **dict.fromkeys(("zswap", "zswapped", "zswap_incomp"), "CONFIG_ZSWAP"),
    **dict.fromkeys(("anon_thp", "file_thp", "shmem_thp"), "CONFIG_TRANSPARENT_HUGEPAGE"),
}

#: Items that the system counted before memcg did, each with a name that came to BTF in the release that began it.
SINCE: Final = {"PSWPIN": "NR_HUGETLB", "PSWPOUT": "NR_HUGETLB", "NR_VMSCAN_WRITE": "PGROTATE_ANON"}

#: A key of memory.stat that only a mount option of cgroup2 brings: memory_hugetlb_accounting.
MOUNT_OPTION_KEYS: Final = frozenset({"hugetlb"})


class Unit(Enum):
    """How an item is kept; page_state and memory.stat give bytes for what is memory, and a count as it is."""

    PAGES = "pages"
    KIB = "KiB"
    BYTES = "bytes"
    COUNT = "count"

    def factor(self, page_size: int) -> int:
        """What the kept value is multiplied by."""
        return {Unit.PAGES: page_size, Unit.KIB: 1024}.get(self, 1)


def unit(name: str) -> Unit:
    """The unit that an enumerator of node_stat_item or memcg_stat_item has by its name: the kernel's own convention.

    Reclaim, demotion, promotion and the working set are told as counts of pages, as in memory.stat
    (Documentation/admin-guide/cgroup-v2.rst).
    """
    if name.startswith(("PG", "WORKINGSET_", "NR_VMSCAN_")):
        return Unit.COUNT
    if name.endswith("_KB"):
        return Unit.KIB
    return Unit.BYTES if name.endswith("_B") else Unit.PAGES


@dataclass(frozen=True, slots=True)
class Tracked:
    """What memcg tracks: names for page_state and for vm_events."""

    states: frozenset[str]
    events: frozenset[str]

    def keys(self, option: Callable[[str], bool]) -> frozenset[str]:
        """The keys that memory.stat must print, sums among them."""
        names = self.states | self.events
        keys = {key for key, name in {**PAGE_STATE, **VM_EVENTS}.items() if name in names}
        keys |= {"vmalloc"} if "MEMCG_VMALLOC" in names else set()
        keys -= {key for key, name in KEY_OPTIONS.items() if not option(name)}
        return frozenset(keys - MOUNT_OPTION_KEYS | SUMS.keys())


def tracked(states: Iterable[str], events: Iterable[str], option: Callable[[str], bool]) -> Tracked:
    """What a kernel tracks whose BTF has ``states`` (node_stat_item, memcg_stat_item) and ``events`` (vm_event_item).

    ``option``: whether the kernel has an option. What newer kernels keep as states is an event in older ones.
    """
    states, events = frozenset(states), frozenset(events)

    def is_tracked(name: str) -> bool:
        has_option = name not in OPTIONS or option(OPTIONS[name])
        return has_option and (name not in SINCE or SINCE[name] in states | events)

    known = {*PAGE_STATE.values(), "MEMCG_VMALLOC"}
    return Tracked(
        frozenset(filter(is_tracked, states & (known | UNPRINTED_STATES))),
        frozenset(filter(is_tracked, events & (known | {*VM_EVENTS.values()} | UNPRINTED_EVENTS))),
    )
