# SPDX-License-Identifier: GPL-2.0-only
"""Which test moves which item by something that it knows the size of; and which items nothing here moves, and why.

tests/test_item_coverage.py holds MOVED to the tests: each is there, and has to do with the item. Moved or not, every
item is compared with the kernel's own counter, and that set to any value: selftests/test_raw_counters.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_RECLAIMED = "test_reclaim::test_pages_reclaimed_are_counted_for_who_asked"
_LISTS = "test_reclaim::test_what_the_lists_do_is_counted_where_it_is_done"
_FILE = "test_page_cache::test_a_file_is_cached_dirty_clean_mapped_and_gone"
_ANON_LISTS = "test_gauges::test_anonymous_memory_is_on_the_lists_that_reclaim_walks"
_FILE_LISTS = "test_page_cache::test_cached_files_are_on_the_lists_that_reclaim_walks"
_SWAPPED = "test_swap::test_pages_swapped_out_and_in_are_counted"
_ZEROS = "test_swap::test_pages_of_zeros_go_nowhere_and_are_counted"
_ZSWAP = "test_swap::test_zswap_is_told_compressed_and_as_it_was"
_CAME_BACK = "test_swap::test_pages_that_came_back_belong_to_the_working_set"
_COLLAPSED = "test_huge_pages::test_pages_that_are_made_huge_are_counted_whole"
_HUGE_SWAPPED = "test_huge_pages::test_huge_pages_are_swapped_out_whole_or_fall_back"
_VMALLOC = "test_gauges::test_a_large_map_is_vmalloc"
_FREED = "test_reclaim::test_memory_freed_lazily_is_counted_when_told_and_when_dropped"

#: The test, as ``file::test``, by item.
MOVED: Final[Mapping[str, str]] = {
    "NR_INACTIVE_ANON": _ANON_LISTS,
    "NR_ACTIVE_ANON": _ANON_LISTS,
    "NR_INACTIVE_FILE": _FILE_LISTS,
    "NR_ACTIVE_FILE": _FILE_LISTS,
    "NR_UNEVICTABLE": "test_gauges::test_locked_memory_is_unevictable",
    "NR_SLAB_RECLAIMABLE_B": "test_gauges::test_names_of_files_are_slab_that_can_be_reclaimed",
    "NR_SLAB_UNRECLAIMABLE_B": "test_gauges::test_open_files_are_slab_that_cannot_be_reclaimed",
    "NR_ANON_MAPPED": "test_page_state::test_page_state_follows_the_bytes_touched",
    "NR_SHMEM": "test_page_state::test_page_state_follows_the_bytes_touched",
    "NR_FILE_PAGES": _FILE,
    "NR_FILE_DIRTY": _FILE,
    "NR_FILE_MAPPED": _FILE,
    "NR_ANON_THPS": "test_gauges::test_huge_pages_are_counted_whole",
    "NR_SHMEM_THPS": _COLLAPSED,
    "NR_FILE_THPS": "test_huge_pages::test_huge_pages_of_files_are_counted_whole",
    "NR_KERNEL_STACK_KB": "test_gauges::test_kernel_stacks_go_when_their_processes_do",
    "NR_PAGETABLE": "test_gauges::test_page_tables_come_and_go_with_what_they_map",
    "NR_VMALLOC": _VMALLOC,
    "MEMCG_VMALLOC": _VMALLOC,
    "NR_HUGETLB": "test_gauges::test_pages_of_hugetlb_are_counted_where_memcgs_are_charged_for_them",
    "NR_SWAPCACHE": "test_swap::test_pages_that_others_still_have_in_swap_are_in_the_swap_cache",
    "MEMCG_SWAP": "test_swap::test_swap_is_told_in_bytes_and_falls_back",
    "MEMCG_SOCK": "test_gauges::test_bytes_that_wait_in_a_socket_are_its_memory",
    "MEMCG_PERCPU_B": "test_gauges::test_per_cpu_memory_is_what_memcgs_keep_their_counters_in",
    "MEMCG_KMEM": "test_gauges::test_open_files_are_slab_that_cannot_be_reclaimed",
    "MEMCG_ZSWAP_B": _ZSWAP,
    "MEMCG_ZSWAPPED": _ZSWAP,
    "MEMCG_ZSWAP_INCOMP": "test_swap::test_zswap_tells_what_it_could_not_compress",
    "WORKINGSET_REFAULT_ANON": _CAME_BACK,
    "WORKINGSET_ACTIVATE_ANON": _CAME_BACK,
    "WORKINGSET_RESTORE_ANON": _CAME_BACK,
    "WORKINGSET_REFAULT_FILE": _LISTS,
    "WORKINGSET_ACTIVATE_FILE": _LISTS,
    "WORKINGSET_RESTORE_FILE": _LISTS,
    "WORKINGSET_NODERECLAIM": "test_page_cache::test_what_is_remembered_of_pages_that_went_is_reclaimed_and_counted",
    "PGREFILL": _LISTS,
    "PGSCAN_DIRECT": _RECLAIMED,
    "PGSTEAL_DIRECT": _RECLAIMED,
    "PGSCAN_PROACTIVE": _RECLAIMED,
    "PGSTEAL_PROACTIVE": _RECLAIMED,
    "PGFAULT": "test_vm_events::test_vm_events_count_the_faults_taken",
    "PGMAJFAULT": "test_page_cache::test_faults_that_read_from_a_disk_are_major",
    "PGACTIVATE": _LISTS,
    "PGDEACTIVATE": _LISTS,
    "PGLAZYFREE": _FREED,
    "PGLAZYFREED": _FREED,
    "PSWPIN": _SWAPPED,
    "PSWPOUT": _SWAPPED,
    "SWPIN_ZERO": _ZEROS,
    "SWPOUT_ZERO": _ZEROS,
    "ZSWPIN": _ZSWAP,
    "ZSWPOUT": _ZSWAP,
    "ZSWPWB": "test_swap::test_pages_that_zswap_passes_on_to_the_disk_are_counted",
    "THP_FAULT_ALLOC": "test_gauges::test_faults_that_got_a_huge_page_are_counted",
    "THP_COLLAPSE_ALLOC": _COLLAPSED,
    "THP_SWPOUT": _HUGE_SWAPPED,
    "THP_SWPOUT_FALLBACK": _HUGE_SWAPPED,
}

_ONE_NODE = "pages move between nodes, or kinds of memory, and a VM of ours has one of each"
_KSWAPD = "kswapd reclaims when the whole machine is short of memory, which would fail whatever else runs on it"
_KHUGEPAGED = "khugepaged reclaims only when there is no huge page to be had in the whole machine"
_UNIT = "told in a wrong unit, so that no size can be expected: docs/findings/page-state-units.md"
_V1 = "kept with CONFIG_MEMCG_V1 only, which the kernels judged here lack but for an old one"

#: Why nothing here moves the item.
UNMOVED: Final[Mapping[str, str]] = {
    **dict.fromkeys(("PGPROMOTE_SUCCESS", "NUMA_PAGE_MIGRATE", "NUMA_PTE_UPDATES", "NUMA_HINT_FAULTS"), _ONE_NODE),
    **dict.fromkeys((f"PGDEMOTE_{who}" for who in ("KSWAPD", "DIRECT", "KHUGEPAGED", "PROACTIVE")), _ONE_NODE),
    **dict.fromkeys(("PGSCAN_KSWAPD", "PGSTEAL_KSWAPD"), _KSWAPD),
    **dict.fromkeys(("PGSCAN_KHUGEPAGED", "PGSTEAL_KHUGEPAGED"), _KHUGEPAGED),
    **dict.fromkeys((f"PG{what}_{kind}" for what in ("SCAN", "STEAL", "ROTATE") for kind in ("ANON", "FILE")), _UNIT),
    "NR_VMSCAN_WRITE": _UNIT,
    "NR_WRITEBACK": "a disk in memory lets no page wait: it is seen at 0 before and after (test_page_cache.py)",
    "NR_SECONDARY_PAGETABLE": "page tables of a hypervisor or an IOMMU, neither of which a VM of ours has",
    **dict.fromkeys(("PGPGIN", "PGPGOUT"), _V1),
}
