# SPDX-License-Identifier: GPL-2.0-only
"""Which items are tracked, in which unit: by names and options, never by a version."""

from __future__ import annotations

import pytest

from kfunctest.statitems import Tracked, Unit, tracked, unit
from kfunctest.statkeys import PAGE_STATE

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
