# SPDX-License-Identifier: GPL-2.0-only
"""Which enumerators memcg tracks and in which unit, as data: what a kernel of these options must answer for each.

Facts from ``memcg_node_stat_items[]``, ``memcg_stat_items[]``, ``memcg_vm_event_stat[]`` and ``memory_stats[]``,
mm/memcontrol.c of 6.12, 7.2 and 7.3. A kernel is asked by names of its own BTF and by its options, not its version.
What no table here or in statkeys.py names is unknown: no test says what a kernel must answer for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from kfunctest.statkeys import MEMORY_EVENTS, PAGE_STATE, SUMS, SWAP_EVENTS, VM_EVENTS

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

_STATES: Final = frozenset({*PAGE_STATE.values(), "MEMCG_VMALLOC"})
_ZONES: Final = ("DMA", "DMA32", "NORMAL", "HIGH", "MOVABLE", "DEVICE")

# fmt: off
#: Enumerators that memcg does not track, and aliases of those that it does: all that include/linux/mmzone.h and
#: vm_event_item.h of 6.1, 6.12, 7.2 and 7.3 have beyond the tables above and in statkeys.py, whatever the options.
UNTRACKED: Final[Mapping[str, frozenset[str]]] = {
    "node_stat_item": frozenset({
        "NR_LRU_BASE", "WORKINGSET_ACTIVATE_BASE", "WORKINGSET_REFAULT_BASE", "WORKINGSET_RESTORE_BASE",
        "NR_BALLOON_PAGES", "NR_DIRTIED", "NR_FILE_PMDMAPPED", "NR_FOLL_PIN_ACQUIRED", "NR_FOLL_PIN_RELEASED",
        "NR_GPU_ACTIVE", "NR_GPU_RECLAIM", "NR_IOMMU_PAGES", "NR_ISOLATED_ANON", "NR_ISOLATED_FILE",
        "NR_KERNEL_FILE_PAGES", "NR_KERNEL_MISC_RECLAIMABLE", "NR_KERNEL_SCS_KB", "NR_SHMEM_PMDMAPPED",
        "NR_THROTTLED_WRITTEN", "NR_VMSCAN_IMMEDIATE", "NR_WRITEBACK_TEMP", "NR_WRITTEN", "PGPROMOTE_CANDIDATE",
        "PGPROMOTE_CANDIDATE_NRL", "WORKINGSET_NODES",
    }),
    "vm_event_item": frozenset({
        *(f"{what}_{zone}" for what in ("ALLOCSTALL", "PGALLOC", "PGSCAN_SKIP") for zone in _ZONES),
        *(f"DIRECT_MAP_LEVEL{level}_{what}" for level in (2, 3) for what in ("SPLIT", "COLLAPSE")),
        *(f"KSTACK_{size}" for size in ("1K", "2K", "4K", "8K", "16K", "32K", "64K", "REST")),
        *(f"VMA_LOCK_{what}" for what in ("ABORT", "MISS", "RETRY", "SUCCESS")),
        *(f"UNEVICTABLE_PG{what}" for what in ("CLEARED", "CULLED", "MLOCKED", "MUNLOCKED", "RESCUED", "SCANNED",
                                               "STRANDED")),
        "BALLOON_DEFLATE", "BALLOON_INFLATE", "BALLOON_MIGRATE", "CMA_ALLOC_FAIL", "CMA_ALLOC_SUCCESS", "COMPACTFAIL",
        "COMPACTFREE_SCANNED", "COMPACTISOLATED", "COMPACTMIGRATE_SCANNED", "COMPACTSTALL", "COMPACTSUCCESS", "COW_KSM",
        "DROP_PAGECACHE", "DROP_SLAB", "HTLB_BUDDY_PGALLOC", "HTLB_BUDDY_PGALLOC_FAIL", "KCOMPACTD_FREE_SCANNED",
        "KCOMPACTD_MIGRATE_SCANNED", "KCOMPACTD_WAKE", "KSM_SWPIN_COPY", "KSWAPD_HIGH_WMARK_HIT_QUICKLY",
        "KSWAPD_INODESTEAL", "KSWAPD_LOW_WMARK_HIT_QUICKLY", "NRSWPIN", "NRSWPOUT", "NR_TLB_LOCAL_FLUSH_ALL",
        "NR_TLB_LOCAL_FLUSH_ONE", "NR_TLB_REMOTE_FLUSH", "NR_TLB_REMOTE_FLUSH_RECEIVED", "NUMA_HINT_FAULTS_LOCAL",
        "NUMA_HUGE_PTE_UPDATES", "OOM_KILL", "PAGEOUTRUN", "PGFREE", "PGINODESTEAL", "PGMIGRATE_FAIL",
        "PGMIGRATE_SUCCESS", "PGREUSE", "PGROTATED", "PGSCAN_DIRECT_THROTTLE", "PGSCAN_ZONE_RECLAIM_FAILED",
        "PGSCAN_ZONE_RECLAIM_SUCCESS", "SLABS_SCANNED", "SWAP_RA", "SWAP_RA_HIT", "THP_COLLAPSE_ALLOC_FAILED",
        "THP_DEFERRED_SPLIT_PAGE", "THP_FAULT_FALLBACK", "THP_FAULT_FALLBACK_CHARGE", "THP_FILE_ALLOC",
        "THP_FILE_FALLBACK", "THP_FILE_FALLBACK_CHARGE", "THP_FILE_MAPPED", "THP_MIGRATION_FAIL",
        "THP_MIGRATION_SPLIT", "THP_MIGRATION_SUCCESS", "THP_SCAN_EXCEED_NONE_PTE", "THP_SCAN_EXCEED_SHARED_PTE",
        "THP_SCAN_EXCEED_SWAP_PTE", "THP_SPLIT_PAGE", "THP_SPLIT_PAGE_FAILED", "THP_SPLIT_PMD", "THP_SPLIT_PUD",
        "THP_UNDERUSED_SPLIT_PAGE", "THP_ZERO_PAGE_ALLOC", "THP_ZERO_PAGE_ALLOC_FAILED",
    }),
}
# fmt: on

#: The enumerators that a test knows of, by the enum that kfuncs take: tracked by memcg, or known not to be. What newer
#: kernels keep as states is an event in older ones.
_KNOWN: Final[Mapping[str, frozenset[str]]] = {
    "node_stat_item": _STATES | UNPRINTED_STATES | UNTRACKED["node_stat_item"],
    "memcg_stat_item": _STATES | UNPRINTED_STATES,
    "vm_event_item": _STATES
    | UNPRINTED_STATES
    | UNPRINTED_EVENTS
    | UNTRACKED["vm_event_item"]
    | frozenset(VM_EVENTS.values()),
    "memcg_memory_event": frozenset({*MEMORY_EVENTS.values(), *SWAP_EVENTS.values()}),
}

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


def unknown(enum: str, members: Iterable[str]) -> list[str]:
    """Those of the ``members`` of ``enum`` that no table knows, in their order; none of an enum that no kfunc takes."""
    known = _KNOWN.get(enum)
    return [] if known is None else [name for name in members if name not in known and name not in BOUNDS]


def tracked(states: Iterable[str], events: Iterable[str], option: Callable[[str], bool]) -> Tracked:
    """What a kernel tracks whose BTF has ``states`` (node_stat_item, memcg_stat_item) and ``events`` (vm_event_item).

    ``option``: whether the kernel has an option. What newer kernels keep as states is an event in older ones.
    """
    states, events = frozenset(states), frozenset(events)

    def is_tracked(name: str) -> bool:
        has_option = name not in OPTIONS or option(OPTIONS[name])
        return has_option and (name not in SINCE or SINCE[name] in states | events)

    return Tracked(
        frozenset(filter(is_tracked, states & (_STATES | UNPRINTED_STATES))),
        frozenset(filter(is_tracked, events & (_STATES | {*VM_EVENTS.values()} | UNPRINTED_EVENTS))),
    )
