# SPDX-License-Identifier: GPL-2.0-only
"""Tests that some kernels of one contract have and others have not: an option or a release decides, not the contract.

A quirk that is a strict xfail is among them: JUnit XML, which these are read from, has one word for both.
"""

from __future__ import annotations

from typing import Final

_KINDS: Final = (
    *("PGSCAN_ANON", "PGSCAN_FILE", "PGSTEAL_ANON", "PGSTEAL_FILE"),
    *("PGROTATE_ANON", "PGROTATE_FILE", "NR_VMSCAN_WRITE"),
)

#: Where the kernel's memory cannot be written: CONFIG_DEVMEM, CONFIG_STRICT_DEVMEM.
_SETTABLE: Final = frozenset(
    {
        "test_aggregation::test_any_count_of_every_cpu_reaches_every_memcg_above",
        "test_any_css::test_get_by_a_css_of_any_controller_is_the_memcg_of_its_cgroup",
        "test_threshold::test_more_than_64_updates_for_each_online_cpu_need_a_flush[all online]",
        "test_threshold::test_more_than_64_updates_for_each_online_cpu_need_a_flush[one offline]",
    }
) | frozenset(
    f"test_raw_counters::{name}"
    for name in (
        "test_any_count_is_told_in_the_unit_of_its_item",
        "test_memory_stat_prints_each_count_under_its_key",
        "test_a_count_below_zero_is_told_as_zero",
        "test_any_count_of_events_is_told_as_it_is",
        "test_any_count_of_memory_events_is_told_as_it_is",
        "test_usage_is_told_in_bytes_beyond_4_gib",
        *(f"test_pages_scanned_and_stolen_are_counts_by_kind_too[{kind}]" for kind in _KINDS),
    )
)

#: Types of program that the slim kernels lack the option for.
_TYPES: Final = frozenset(
    f"test_program_types::test_program_type_may_call[{name}]" for name in ("netfilter", "lirc_mode2")
)

#: What a program cannot leave for later where an old pahole made the kernel's BTF, or 6.12 has it by another name.
_LATER: Final = frozenset(
    f"test_verifier::test_the_verifier_accepts_what_is_left_for_later[flush_from_{name}]"
    for name in ("work_queue", "task_work")
)

#: CONFIG_LRU_GEN, CONFIG_EXT4_FS, CONFIG_MEMCG_V1, the host's memory, and items that memcgs track since 6.13 or later.
BY_OPTION: Final = (
    _SETTABLE
    | _TYPES
    | _LATER
    | {
        # A kfunc since 6.16.
        "test_verifier::test_the_verifier_refuses_by_the_flags[css_under_rcu_for_another_kfunc]",
        "test_controller::test_memory_bound_to_v1_gives_memcgs_there_and_none_on_v2",
        "test_reclaim::test_pages_reclaimed_are_counted_for_who_asked[generations-PROACTIVE]",
        "test_reclaim::test_pages_reclaimed_are_counted_for_who_asked[generations-DIRECT]",
        "test_reclaim::test_what_the_lists_do_is_counted_where_it_is_done[generations]",
        "test_swap::test_pages_that_came_back_belong_to_the_working_set[generations]",
        "test_reclaim::test_pages_that_are_not_needed_soon_are_deactivated[generations]",
        "test_flusher::test_what_is_updated_while_a_flush_is_under_way_is_brought_up_by_the_next",
        "test_huge_pages::test_huge_pages_of_files_are_counted_whole",
        "test_swap::test_zswap_tells_what_it_could_not_compress",
        "test_beyond_4_gib::test_more_than_4_gib_are_told_to_the_byte_and_fall_back",
        "test_reclaim::test_pages_scanned_by_kind_add_up_to_those_by_reclaimer",
        "test_gauges::test_pages_of_hugetlb_are_counted_where_memcgs_are_charged_for_them",
        "test_swap::test_pages_swapped_out_and_in_are_counted",
    }
)
