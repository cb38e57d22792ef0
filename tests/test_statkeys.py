# SPDX-License-Identifier: GPL-2.0-only
"""The keys of memory.stat: each has one way to be read, whatever enum a kernel keeps its item in."""

from __future__ import annotations

import pytest

from kfunctest import statkeys

#: As mm/memcontrol.c has them: what 6.12 counts as events, newer kernels keep with the statistics of nodes.
RECLAIM = {"PGSCAN_KSWAPD", "PGSCAN_DIRECT", "PGSCAN_KHUGEPAGED", "PGSTEAL_KSWAPD", "PGSTEAL_DIRECT", "PGREFILL"}
NODE = {"NR_ANON_MAPPED", "NR_SLAB_RECLAIMABLE_B", "NR_SLAB_UNRECLAIMABLE_B"}


@pytest.mark.parametrize("items, events", [(NODE, RECLAIM), (NODE | RECLAIM, set())], ids=["6.12", "newer"])
def test_an_item_is_read_by_the_enum_that_holds_it(items: set[str], events: set[str]) -> None:
    state, counted = statkeys.through_page_state(items), statkeys.through_vm_events(events)
    assert state.keys() & counted.keys() == set()
    assert set(state.values()) == items
    assert set(counted.values()) == events


def test_vmalloc_is_found_by_its_older_name() -> None:
    assert statkeys.through_page_state({"MEMCG_VMALLOC"}) == {"vmalloc": "MEMCG_VMALLOC"}
    assert statkeys.through_page_state({"NR_VMALLOC"}) == {"vmalloc": "NR_VMALLOC"}


def test_only_what_memory_stat_prints_is_tracked_for_sure() -> None:
    names = statkeys.through_vm_events({"PGFAULT", "PSWPIN"})
    assert statkeys.printed(names, {"pgfault": 7, "anon": 4096}) == {"pgfault": "PGFAULT"}


def test_every_sum_is_one_of_known_keys() -> None:
    for key, parts in statkeys.SUMS.items():
        assert set(parts) <= statkeys.PAGE_STATE.keys(), key
        assert key not in statkeys.PAGE_STATE, key


def test_kinds_of_reclaim_are_counted_under_keys_of_their_own() -> None:
    scans, steals = zip(*statkeys.PROACTIVE, strict=True)
    assert {key for key, name in statkeys.PAGE_STATE.items() if name in scans} == {"pgscan_proactive", "pgscan_direct"}
    assert {key for key, name in statkeys.PAGE_STATE.items() if name in steals} == {
        "pgsteal_proactive",
        "pgsteal_direct",
    }
