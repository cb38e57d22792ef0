# SPDX-License-Identifier: GPL-2.0-only
"""Where the revisions of the series differ, and which tests a kernel of one fails by the contract of the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference between v2 and v7.0, with the tests that see it, as ``file::test``."""

    what: str
    #: What a kernel that keeps v2 fails by ``--contract v7.0``.
    v2_judged_by_v7: tuple[str, ...]
    #: What a kernel that keeps v7.0 fails by ``--contract v2``.
    v7_judged_by_v2: tuple[str, ...]


DIFFERENCES: Final[tuple[Difference, ...]] = (
    Difference(
        "v7.0 has memory_events, v2 has not",
        (
            "test_presence::test_every_kfunc_of_the_contract_is_in_btf",
            "test_memory_events::test_memory_events_are_zero_in_a_new_memcg",
            "test_memory_events::test_memory_events_after_an_oom_kill",
            "test_memory_events::test_memory_events_count_the_high_limit",
            "test_memory_events::test_memory_events_count_a_kill_of_the_whole_group",
            "test_memory_events::test_memory_events_count_protection_that_did_not_hold",
            "test_memory_events::test_memory_events_are_local_where_the_mount_says_so",
            "test_memory_events::test_memory_events_of_a_child_show_in_its_parent",
            "test_memory_events::test_memory_events_of_an_index_outside_the_enum_are_minus_one",
            "test_memory_events::test_memory_events_take_the_last_index",
            "test_hierarchy::test_events_of_a_leaf_are_those_of_everybody_above_it",
            "test_items::test_memory_events_of_any_number_are_minus_one_or_an_event",
            "test_raw_counters::test_any_count_of_memory_events_is_told_as_it_is",
            "test_swap::test_memory_events_count_what_memory_swap_events_does",
            "test_swap::test_memory_events_count_swap_beyond_its_high_limit[above]",
            "test_swap::test_memory_events_count_swap_beyond_its_high_limit[of its own]",
            "test_charges::test_a_group_that_is_killed_whole_is_told_where_it_begins",
            "test_charges::test_a_high_limit_above_is_told_where_it_is",
            "test_charges::test_a_limit_above_is_told_where_it_was_hit",
            "test_root::test_root_does_not_count_the_events_of_its_children",
            "test_root::test_root_counts_the_kill_of_a_task_of_its_own",
            "test_oom_policy::test_an_oom_policy_reads_the_victims_memcg_and_all_above_it",
        ),
        ("test_presence::test_no_kfunc_of_another_revision_is_in_btf",),
    ),
    Difference(
        "page_state of an item that memcg does not track: v7.0 gives -1, v2 gives 0 and warns",
        (
            "test_page_state::test_page_state_of_items_that_memcg_does_not_track",
            "test_items::test_page_state_has_a_value_for_what_memcg_tracks_by_name",
            "test_items::test_page_state_of_any_number_is_minus_one_or_an_item",
            "test_items::test_of_a_64_bit_index_the_low_half_counts",
        ),
        ("test_page_state::test_page_state_of_items_that_memcg_does_not_track",),
    ),
    Difference(
        "vm_events of an event that memcg does not track: v7.0 gives -1, v2 gives 0 and warns",
        (
            "test_vm_events::test_vm_events_that_memcg_does_not_track",
            "test_items::test_vm_events_have_a_value_for_what_memcg_tracks_by_name",
        ),
        ("test_vm_events::test_vm_events_that_memcg_does_not_track",),
    ),
    Difference(
        "vm_events of what is no event: v7.0 gives -1; v2 promises nothing, so that nobody can fail it there",
        (
            "test_vm_events::test_vm_events_of_an_index_outside_the_enum_are_minus_one",
            "test_items::test_vm_events_of_any_number_are_minus_one_or_an_event",
        ),
        (),
    ),
    Difference(
        "usage of the root: v7.0 reads its page counter, v2 adds up what the whole system has",
        ("test_root::test_root_usage_leaves_out_what_tasks_of_the_root_use",),
        ("test_root::test_root_usage_is_what_the_system_counts",),
    ),
)

#: What is not applicable by a contract, each with the reason that the run gives.
NOT_APPLICABLE: Final[Mapping[str, frozenset[str]]] = {
    "v7.0": frozenset({"test_root::test_root_usage_is_what_the_system_counts"}),
    # No memory_events, the root has another usage, no range is checked; and 6.12 has neither tracepoints of flushes and
    # of updates nor bpf_local_irq_save(), and leaves the folios of a removed memcg with it.
    "v2 on 6.12": frozenset(
        {
            "test_flush_stats::test_an_update_counts_for_its_pages",
            "test_hierarchy::test_events_of_a_leaf_are_those_of_everybody_above_it",
            "test_items::test_memory_events_of_any_number_are_minus_one_or_an_event",
            "test_raw_counters::test_any_count_of_memory_events_is_told_as_it_is",
            "test_swap::test_memory_events_count_what_memory_swap_events_does",
            "test_swap::test_memory_events_count_swap_beyond_its_high_limit[above]",
            "test_swap::test_memory_events_count_swap_beyond_its_high_limit[of its own]",
            "test_charges::test_a_group_that_is_killed_whole_is_told_where_it_begins",
            "test_charges::test_a_high_limit_above_is_told_where_it_is",
            "test_charges::test_a_limit_above_is_told_where_it_was_hit",
            "test_dying::test_the_values_of_a_removed_memcg_stay_as_they_were",
            "test_flusher::test_everything_is_flushed_every_two_seconds_needed_or_not",
            "test_updates::test_a_cpu_holds_back_fewer_than_a_batch",
            "test_updates::test_an_update_of_less_than_a_page_counts_one",
            "test_updates::test_what_waits_for_a_flush_is_all_that_was_updated",
            "test_memory_events::test_memory_events_have_a_key_in_a_file_for_each",
            "test_memory_events::test_memory_events_count_a_kill_of_the_whole_group",
            "test_memory_events::test_memory_events_count_protection_that_did_not_hold",
            "test_memory_events::test_memory_events_are_local_where_the_mount_says_so",
            "test_memory_events::test_memory_events_after_an_oom_kill",
            "test_memory_events::test_memory_events_are_zero_in_a_new_memcg",
            "test_memory_events::test_memory_events_count_the_high_limit",
            "test_memory_events::test_memory_events_of_a_child_show_in_its_parent",
            "test_memory_events::test_memory_events_of_an_index_outside_the_enum_are_minus_one",
            "test_memory_events::test_memory_events_take_the_last_index",
            "test_program_types::test_program_type_may_call[raw_tp_s]",
            "test_program_types::test_program_type_may_call[tp_btf_s]",
            "test_program_types::test_program_type_may_call[tracepoint_s]",
            "test_root::test_root_does_not_count_the_events_of_its_children",
            "test_root::test_root_counts_the_kill_of_a_task_of_its_own",
            "test_root::test_root_usage_follows_what_a_child_charges",
            "test_root::test_root_usage_leaves_out_what_tasks_of_the_root_use",
            "test_verifier::test_the_verifier_accepts[tracepoint_argument_without_get]",
            "test_verifier::test_the_verifier_accepts_where_it_may[read_with_interrupts_off]",
            "test_verifier::test_the_verifier_refuses[flush_with_interrupts_off]",
            "test_verifier::test_the_verifier_refuses[put_of_tracepoint_argument]",
            "test_verifier::test_the_verifier_refuses_where_it_must[memory_events_under_spin_lock]",
            "test_verifier::test_the_verifier_refuses_by_the_flags[memory_events_without_null_check]",
            "test_verifier::test_the_verifier_refuses_by_the_flags[memory_events_of_followed_pointer]",
            "test_vm_events::test_vm_events_of_an_index_outside_the_enum_are_minus_one",
        }
    ),
}
