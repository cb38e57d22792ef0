# SPDX-License-Identifier: GPL-2.0-only
"""Which enumerator stands behind which key of memory.stat, as data.

Facts from ``memory_stats[]`` and ``memcg_vm_event_stat[]``, mm/memcontrol.c (7.2). page_state and memory.stat both
give the value in the key's output unit (bytes, or a count), so they compare without a factor.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Final

#: Keys read through bpf_mem_cgroup_page_state(): members of enum node_stat_item or enum memcg_stat_item. What counts
#: events rather than memory (workingset, pg...) was in enum vm_event_item in older kernels: ask BTF which it is.
PAGE_STATE: Final = {
    "anon": "NR_ANON_MAPPED",
    "file": "NR_FILE_PAGES",
    "kernel": "MEMCG_KMEM",
    "kernel_stack": "NR_KERNEL_STACK_KB",
    "pagetables": "NR_PAGETABLE",
    "sec_pagetables": "NR_SECONDARY_PAGETABLE",
    "percpu": "MEMCG_PERCPU_B",
    "sock": "MEMCG_SOCK",
    "vmalloc": "NR_VMALLOC",
    "shmem": "NR_SHMEM",
    "zswap": "MEMCG_ZSWAP_B",
    "zswapped": "MEMCG_ZSWAPPED",
    "zswap_incomp": "MEMCG_ZSWAP_INCOMP",
    "hugetlb": "NR_HUGETLB",
    "file_mapped": "NR_FILE_MAPPED",
    "file_dirty": "NR_FILE_DIRTY",
    "file_writeback": "NR_WRITEBACK",
    "swapcached": "NR_SWAPCACHE",
    "anon_thp": "NR_ANON_THPS",
    "file_thp": "NR_FILE_THPS",
    "shmem_thp": "NR_SHMEM_THPS",
    "inactive_anon": "NR_INACTIVE_ANON",
    "active_anon": "NR_ACTIVE_ANON",
    "inactive_file": "NR_INACTIVE_FILE",
    "active_file": "NR_ACTIVE_FILE",
    "unevictable": "NR_UNEVICTABLE",
    "slab_reclaimable": "NR_SLAB_RECLAIMABLE_B",
    "slab_unreclaimable": "NR_SLAB_UNRECLAIMABLE_B",
    "workingset_refault_anon": "WORKINGSET_REFAULT_ANON",
    "workingset_refault_file": "WORKINGSET_REFAULT_FILE",
    "workingset_activate_anon": "WORKINGSET_ACTIVATE_ANON",
    "workingset_activate_file": "WORKINGSET_ACTIVATE_FILE",
    "workingset_restore_anon": "WORKINGSET_RESTORE_ANON",
    "workingset_restore_file": "WORKINGSET_RESTORE_FILE",
    "workingset_nodereclaim": "WORKINGSET_NODERECLAIM",
    "pgpromote_success": "PGPROMOTE_SUCCESS",
    "pgdemote_kswapd": "PGDEMOTE_KSWAPD",
    "pgdemote_direct": "PGDEMOTE_DIRECT",
    "pgdemote_khugepaged": "PGDEMOTE_KHUGEPAGED",
    "pgdemote_proactive": "PGDEMOTE_PROACTIVE",
    "pgsteal_kswapd": "PGSTEAL_KSWAPD",
    "pgsteal_direct": "PGSTEAL_DIRECT",
    "pgsteal_khugepaged": "PGSTEAL_KHUGEPAGED",
    "pgsteal_proactive": "PGSTEAL_PROACTIVE",
    "pgscan_kswapd": "PGSCAN_KSWAPD",
    "pgscan_direct": "PGSCAN_DIRECT",
    "pgscan_khugepaged": "PGSCAN_KHUGEPAGED",
    "pgscan_proactive": "PGSCAN_PROACTIVE",
    "pgrefill": "PGREFILL",
}

#: Keys read through bpf_mem_cgroup_vm_events(): members of enum vm_event_item. Counts.
VM_EVENTS: Final = {
    "pswpin": "PSWPIN",
    "pswpout": "PSWPOUT",
    "pgfault": "PGFAULT",
    "pgmajfault": "PGMAJFAULT",
    "pgactivate": "PGACTIVATE",
    "pgdeactivate": "PGDEACTIVATE",
    "pglazyfree": "PGLAZYFREE",
    "pglazyfreed": "PGLAZYFREED",
    "swpin_zero": "SWPIN_ZERO",
    "swpout_zero": "SWPOUT_ZERO",
    "zswpin": "ZSWPIN",
    "zswpout": "ZSWPOUT",
    "zswpwb": "ZSWPWB",
    "thp_fault_alloc": "THP_FAULT_ALLOC",
    "thp_collapse_alloc": "THP_COLLAPSE_ALLOC",
    "thp_swpout": "THP_SWPOUT",
    "thp_swpout_fallback": "THP_SWPOUT_FALLBACK",
    "numa_pages_migrated": "NUMA_PAGE_MIGRATE",
    "numa_pte_updates": "NUMA_PTE_UPDATES",
    "numa_hint_faults": "NUMA_HINT_FAULTS",
}

#: Keys that are sums of others, of those among them that the kernel prints. An oracle for the unit of what is summed.
SUMS: Final = {
    "slab": ("slab_reclaimable", "slab_unreclaimable"),
    "pgscan": ("pgscan_kswapd", "pgscan_direct", "pgscan_khugepaged", "pgscan_proactive"),
    "pgsteal": ("pgsteal_kswapd", "pgsteal_direct", "pgsteal_khugepaged", "pgsteal_proactive"),
}

#: Keys of memory.events read through bpf_mem_cgroup_memory_events(): members of enum memcg_memory_event. Counts.
MEMORY_EVENTS: Final = {
    "low": "MEMCG_LOW",
    "high": "MEMCG_HIGH",
    "max": "MEMCG_MAX",
    "oom": "MEMCG_OOM",
    "oom_kill": "MEMCG_OOM_KILL",
    "oom_group_kill": "MEMCG_OOM_GROUP_KILL",
    "sock_throttled": "MEMCG_SOCK_THROTTLED",
}

#: Keys of memory.swap.events, read through bpf_mem_cgroup_memory_events() too.
SWAP_EVENTS: Final = {"high": "MEMCG_SWAP_HIGH", "max": "MEMCG_SWAP_MAX", "fail": "MEMCG_SWAP_FAIL"}

#: What memory.reclaim counts as scanned and as stolen: in newer kernels as a kind of its own, in 6.12 as direct reclaim
#: (reclaimer_offset(), mm/vmscan.c).
PROACTIVE: Final = (("PGSCAN_PROACTIVE", "PGSTEAL_PROACTIVE"), ("PGSCAN_DIRECT", "PGSTEAL_DIRECT"))

#: What stood behind a key before the enumerator above did.
_OLDER: Final = {"vmalloc": "MEMCG_VMALLOC"}


def through_page_state(items: Container[str]) -> dict[str, str]:
    """Keys and enumerators for bpf_mem_cgroup_page_state(); ``items``: node_stat_item and memcg_stat_item, by BTF."""
    return _present(PAGE_STATE, items) | _present(_OLDER, items)


def through_vm_events(events: Container[str]) -> dict[str, str]:
    """Keys and enumerators for bpf_mem_cgroup_vm_events(); ``events``: vm_event_item, by BTF."""
    return _present(VM_EVENTS, events) | _present(PAGE_STATE, events)


def printed(names: Mapping[str, str], stat: Container[str]) -> dict[str, str]:
    """Those of the keys in ``names`` that memory.stat has: what it lacks, the kernel's memcgs may not track."""
    return {key: name for key, name in names.items() if key in stat}


def _present(table: Mapping[str, str], enum: Container[str]) -> dict[str, str]:
    return {key: name for key, name in table.items() if name in enum}
