# SPDX-License-Identifier: GPL-2.0-only
"""Which items are tracked, in which unit: by names and options, never by a version."""

from __future__ import annotations

import pytest

from kfunctest.statitems import (
    UNPRINTED_EVENTS,
    UNPRINTED_STATES,
    UNTRACKED,
    Tracked,
    Unit,
    tracked,
    unit,
    unknown,
)
from kfunctest.statkeys import MEMORY_EVENTS, PAGE_STATE, SWAP_EVENTS, VM_EVENTS

PAGE = 4096


@pytest.mark.parametrize(
    "name, expected",
    [
        ("NR_ANON_MAPPED", Unit.PAGES),
        ("NR_KERNEL_STACK_KB", Unit.KIB),
        ("NR_SLAB_RECLAIMABLE_B", Unit.BYTES),
        ("MEMCG_ZSWAP_B", Unit.BYTES),
        ("MEMCG_ZSWAPPED", Unit.PAGES),
        ("WORKINGSET_REFAULT_FILE", Unit.COUNT),
        ("PGSCAN_FILE", Unit.COUNT),
        ("PGDEMOTE_KSWAPD", Unit.COUNT),
    ],
)
def test_unit_is_told_by_the_name(name: str, expected: Unit) -> None:
    assert unit(name) is expected
    assert unit(name).factor(PAGE) == {Unit.PAGES: PAGE, Unit.KIB: 1024}.get(expected, 1)


def test_item_without_its_option_is_not_tracked() -> None:
    names = {"NR_SWAPCACHE", "NR_ANON_MAPPED"}
    assert tracked(names, {"PGPGIN", "PGFAULT"}, lambda _: False).states == {"NR_ANON_MAPPED"}
    everything = tracked(names, {"PGPGIN", "PGFAULT"}, lambda _: True)
    assert everything == Tracked(frozenset(names), frozenset({"PGPGIN", "PGFAULT"}))


def test_item_that_only_the_system_counted_before_some_release() -> None:
    assert not tracked({"NR_ANON_MAPPED"}, {"PSWPIN"}, lambda _: True).events
    assert tracked({"NR_HUGETLB"}, {"PSWPIN"}, lambda _: True).events == {"PSWPIN"}


def test_event_of_an_older_kernel_is_a_state_of_a_newer_one() -> None:
    older, newer = tracked((), {"PGREFILL", "PGSCAN_ANON"}, bool), tracked({"PGREFILL", "PGSCAN_ANON"}, (), bool)
    assert older == Tracked(frozenset(), frozenset({"PGREFILL"}))
    assert newer == Tracked(frozenset({"PGREFILL", "PGSCAN_ANON"}), frozenset())
    assert "pgrefill" in older.keys(bool) & newer.keys(bool)


def test_keys_leave_out_what_an_option_or_a_mount_brings() -> None:
    found = tracked(PAGE_STATE.values(), (), lambda name: name != "CONFIG_ZSWAP").keys(
        lambda name: name != "CONFIG_ZSWAP"
    )
    assert "zswap" not in found
    assert "hugetlb" not in found
    assert {"anon", "slab", "pgscan"} <= found


def test_every_table_is_of_what_is_known() -> None:
    """A new item of a table need be added nowhere else; what memcg tracks is not among what it does not."""
    events = {*MEMORY_EVENTS.values(), *SWAP_EVENTS.values()}
    for enum, names in (
        ("node_stat_item", {*PAGE_STATE.values(), *UNPRINTED_STATES}),
        ("memcg_stat_item", {*PAGE_STATE.values(), "MEMCG_VMALLOC"}),
        ("vm_event_item", {*VM_EVENTS.values(), *UNPRINTED_EVENTS}),
        ("memcg_memory_event", events),
    ):
        assert unknown(enum, sorted(names)) == []
        assert not names & UNTRACKED.get(enum, frozenset())


@pytest.mark.parametrize(
    "enum, known",
    [
        ("node_stat_item", ["NR_LRU_BASE", "NR_ANON_MAPPED", "NR_GPU_ACTIVE", "NR_VM_NODE_STAT_ITEMS"]),
        ("memcg_stat_item", ["MEMCG_SWAP", "MEMCG_NR_STAT"]),
        ("vm_event_item", ["PGFAULT", "PGREFILL", "PGALLOC_DMA32", "KSTACK_REST", "NRSWPIN", "NR_VM_EVENT_ITEMS"]),
        ("memcg_memory_event", ["MEMCG_LOW", "MEMCG_SWAP_FAIL", "MEMCG_NR_MEMORY_EVENTS"]),
    ],
)
def test_enumerator_that_no_table_knows(enum: str, known: list[str]) -> None:
    assert unknown(enum, ["NEW_A", *known, "NEW_B"]) == ["NEW_A", "NEW_B"]


def test_enumerator_that_moved_to_an_enum_where_no_test_reads_it_is_unknown() -> None:
    assert unknown("node_stat_item", ["PGFAULT"]) == ["PGFAULT"]


def test_no_kfunc_takes_other_enums() -> None:
    assert unknown("bpf_prog_type", ["BPF_PROG_TYPE_NEW"]) == []
