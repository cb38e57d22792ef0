# SPDX-License-Identifier: GPL-2.0-only
"""bpf_mem_cgroup_page_state(): one item of node_stat_item or memcg_stat_item, hierarchical, as of the last flush.

Its unit is the one that memory.stat prints: bytes for memory, a count for events. An index that memcg does not track
gives -1.
"""

from __future__ import annotations

import pytest

from conftest import Items
from kfunctest.contract import Contract
from kfunctest.measure import WORKER_PAGES, Sandwich
from kfunctest.statkeys import PAGE_STATE
from kfunctest.target.kfuncs import ULONG_MAX, Call, Kfuncs
from kfunctest.target.memcg import Memcg, MiB
from kfunctest.target.vm import Vm

pytestmark = pytest.mark.kfunc(name="page_state")

INT_MIN, INT_MAX = -(1 << 31), (1 << 31) - 1


def flushed(kfuncs: Kfuncs, memcg: Memcg, item: int) -> int:
    """The item after a flush, in one run of the program."""
    return kfuncs.batch(memcg, [Call("FLUSH_STATS"), Call("PAGE_STATE", item)])[1]


@pytest.mark.parametrize(
    "charge, release, item",
    [("charge_anon", "release_anon", "NR_ANON_MAPPED"), ("charge_shmem", "release_shmem", "NR_SHMEM")],
)
def test_page_state_follows_the_bytes_touched(
    vm: Vm, memcg: Memcg, kfuncs: Kfuncs, items: Items, charge: str, release: str, item: str
) -> None:
    """Up by 16 MiB and down again: far more updates than the flush threshold, so the flush is none of the lazy ones."""
    memcg.start()
    before = flushed(kfuncs, memcg, getattr(items, item))
    touched = getattr(memcg, charge)(16 * MiB)
    grown = flushed(kfuncs, memcg, getattr(items, item)) - before
    slack = WORKER_PAGES * vm.page_size
    assert abs(grown - touched) <= slack, f"{item} of {memcg.path} grew by {grown} bytes, expected {touched} +- {slack}"
    getattr(memcg, release)()
    kept = flushed(kfuncs, memcg, getattr(items, item)) - before
    assert abs(kept) <= slack, f"{item} of {memcg.path} kept {kept} bytes after the release, expected 0 +- {slack}"


def test_page_state_agrees_with_memory_stat(memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    """Every key of the table, exactly. Two readings through BPF hold one of the file between them, so that the periodic
    flusher, which may strike at any time, is noticed and not mistaken for a wrong value.
    """
    memcg.charge_anon(4 * MiB)
    memcg.charge_shmem(2 * MiB)
    names = {key: name for key, name in PAGE_STATE.items() if hasattr(items, name)}
    reads = [Call("PAGE_STATE", getattr(items, name)) for name in names.values()]
    before = kfuncs.batch(memcg, [Call("FLUSH_STATS"), *reads])[1:]
    stat = memcg.stat()
    after = kfuncs.batch(memcg, reads)
    compared = 0
    for (key, name), first, second in zip(names.items(), before, after, strict=True):
        if key not in stat:
            continue
        compared += 1
        value = Sandwich(first, stat[key], second)
        assert value, f"{key} ({name}) of {memcg.path}, memory.stat against page_state, in memory.stat's unit: {value}"
    assert compared >= 20, f"only {compared} keys of memory.stat were compared: {sorted(stat)}"
    assert stat["anon"] >= 4 * MiB, "the comparison above must not have been one of zeros"
    assert stat["shmem"] >= 2 * MiB
    assert stat["pagetables"] > 0, "4 MiB are mapped through page tables that were made in this memcg"


def test_page_state_of_a_parent_counts_its_children(memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    leaf = memcg.child().child("grandchild")
    leaf.charge_anon(8 * MiB)
    outer = flushed(kfuncs, memcg, items.NR_ANON_MAPPED)
    inner = kfuncs.page_state(leaf, items.NR_ANON_MAPPED)
    assert outer == inner >= 8 * MiB, f"NR_ANON_MAPPED in bytes: {memcg.path} {outer}, {leaf.path} {inner}"


def test_page_state_of_a_sibling_is_its_own(memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    busy, idle = memcg.child("busy"), memcg.child("idle")
    busy.charge_anon(8 * MiB)
    assert flushed(kfuncs, memcg, items.NR_ANON_MAPPED) >= 8 * MiB
    assert kfuncs.page_state(idle, items.NR_ANON_MAPPED) == 0, "8 MiB were charged to its sibling"


def test_page_state_of_an_index_outside_the_enum_is_minus_one(memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    outside = [-1, items.MEMCG_NR_STAT, items.MEMCG_NR_STAT + 1, INT_MIN, INT_MAX]
    seen = kfuncs.batch(memcg, [Call("PAGE_STATE", index) for index in outside])
    assert dict(zip(outside, seen, strict=True)) == dict.fromkeys(outside, ULONG_MAX)


def test_page_state_takes_the_first_and_the_last_index(memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    """The neighbours of the two bounds: NR_LRU_BASE (0) is NR_INACTIVE_ANON, MEMCG_NR_STAT - 1 a memcg item."""
    for index in (0, items.MEMCG_NR_STAT - 1):
        seen = kfuncs.page_state(memcg, index)
        assert seen == 0, f"item {index} of the empty {memcg.path}: expected 0, seen {seen:#x}"


@pytest.mark.parametrize("name", ["NR_ISOLATED_ANON", "NR_DIRTIED", "NR_WRITTEN", "NR_VMSCAN_IMMEDIATE"])
def test_page_state_of_an_item_that_memcg_does_not_track(
    contract: Contract, memcg: Memcg, kfuncs: Kfuncs, items: Items, name: str
) -> None:
    expected = ULONG_MAX if contract.untracked_is_minus_one else 0
    seen = kfuncs.page_state(memcg, getattr(items, name))
    assert seen == expected, f"{name} of {memcg.path}: expected {expected:#x}, seen {seen:#x}"
