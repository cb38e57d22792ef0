# SPDX-License-Identifier: GPL-2.0-only
"""bpf_mem_cgroup_page_state(): one item of node_stat_item or memcg_stat_item, hierarchical, as of the last flush.

Its unit is the one that memory.stat prints: bytes for memory, a count for events. An index that memcg does not track
gives -1.
"""

from __future__ import annotations

import pytest

from conftest import Items
from kfunctest.contract import Contract
from kfunctest.kernels.model import Kernel
from kfunctest.measure import STACK_PAGES, WORKER_PAGES, Sandwich, flush_lag, sandwich, slab_held_back, surely_flushed
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
    """Up by 4 MiB and down again: far more updates than the flush threshold."""
    memcg.start()
    before = flushed(kfuncs, memcg, getattr(items, item))
    touched = getattr(memcg, charge)(4 * MiB)
    grown = flushed(kfuncs, memcg, getattr(items, item)) - before
    slack = (WORKER_PAGES + flush_lag(vm.cpus)) * vm.page_size
    assert abs(grown - touched) <= slack, f"{item} of {memcg.path} grew by {grown} bytes, expected {touched} +- {slack}"
    getattr(memcg, release)()
    kept = flushed(kfuncs, memcg, getattr(items, item)) - before
    assert abs(kept) <= slack, f"{item} of {memcg.path} kept {kept} bytes after the release, expected 0 +- {slack}"


def test_page_state_agrees_with_memory_stat(vm: Vm, memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    """Every key of the table, exactly. Two readings through BPF hold one of the file between them, so that the periodic
    flusher, which may strike at any time, is noticed and not mistaken for a wrong value.
    """
    memcg.charge_anon(4 * MiB)
    memcg.charge_shmem(2 * MiB)
    held = items.enum("node_stat_item") | items.enum("memcg_stat_item")
    names = {key: name for key, name in PAGE_STATE.items() if name in held}
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
    lag = flush_lag(vm.cpus) * vm.page_size
    assert stat["anon"] >= 4 * MiB - lag, "the comparison above must not have been one of zeros"
    assert stat["shmem"] >= 2 * MiB - lag
    assert stat["pagetables"] > 0, "4 MiB are mapped through page tables that were made in this memcg"


def test_page_state_of_a_parent_counts_its_children(vm: Vm, memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    leaf = memcg.child().child("grandchild")
    leaf.charge_anon(4 * MiB)
    value = sandwich(
        lambda: flushed(kfuncs, memcg, items.NR_ANON_MAPPED), lambda: kfuncs.page_state(leaf, items.NR_ANON_MAPPED)
    )
    assert value, f"NR_ANON_MAPPED of {leaf.path}, against that of its parent {memcg.path}, in bytes: {value}"
    least = 4 * MiB - flush_lag(vm.cpus) * vm.page_size
    assert value.seen >= least, f"NR_ANON_MAPPED of {leaf.path}: expected {least} bytes or more, seen {value.seen}"


def test_page_state_counts_what_every_cpu_charged(vm: Vm, memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    """The worker charges from each CPU in turn. A flush collects from all of them."""
    memcg.start()
    for cpu in range(vm.cpus):
        memcg.pin(cpu)
        before = flushed(kfuncs, memcg, items.NR_ANON_MAPPED)
        touched = memcg.charge_anon(4 * MiB)
        grown = flushed(kfuncs, memcg, items.NR_ANON_MAPPED) - before
        slack = (WORKER_PAGES + flush_lag(vm.cpus)) * vm.page_size
        assert abs(grown - touched) <= slack, (
            f"NR_ANON_MAPPED of {memcg.path} grew by {grown} bytes, charged on CPU {cpu}: {touched} +- {slack}"
        )


def test_page_state_of_kernel_memory_is_in_bytes(vm: Vm, memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    """Kernel stacks are kept in KiB, page tables in pages, slab and per-CPU memory in bytes. memory.stat would be wrong
    along with page_state, so the measure is what was made: processes, each with one stack; and a child memcg, whose
    per-CPU counters its parent pays. The parts fit into the kernel memory that was charged, and that into the usage.
    """
    leaf = memcg.child()
    leaf.start()
    names = ("NR_KERNEL_STACK_KB", "NR_PAGETABLE", "NR_SLAB_UNRECLAIMABLE_B", "NR_SLAB_RECLAIMABLE_B", "MEMCG_PERCPU_B")
    calls = [Call("PAGE_STATE", getattr(items, name)) for name in (*names, "MEMCG_KMEM")]
    before = flushed(kfuncs, memcg, items.NR_KERNEL_STACK_KB)
    children = leaf.fork_children(16)
    leaf.charge_anon(4 * MiB)
    grown = flushed(kfuncs, memcg, items.NR_KERNEL_STACK_KB) - before
    expected = [children * pages * vm.page_size for pages in STACK_PAGES]
    assert grown in expected, (
        f"NR_KERNEL_STACK_KB of {memcg.path}: {children} processes, expected one of {expected} bytes, seen {grown}"
    )
    *sizes, whole, usage = kfuncs.batch(memcg, [*calls, Call("USAGE")])
    parts = dict(zip(names, sizes, strict=True))
    unused = [name for name, size in parts.items() if not size and name != "NR_SLAB_RECLAIMABLE_B"]
    assert not unused, f"in {memcg.path} each kind of kernel memory is in use; seen none of {unused}"
    assert sum(parts.values()) <= whole + slab_held_back(vm.cpus), (
        f"in {memcg.path} kernel memory is {whole} bytes, its parts are more: {parts}"
    )
    assert whole <= usage, f"in {memcg.path} kernel memory is {whole} of only {usage} bytes"


def test_page_state_of_reclaim_is_a_count(vm: Vm, kernel: Kernel, memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    """Pages that were scanned, stolen and read again are counted, not measured: the page cache tells how many."""
    size = 1 * MiB
    names = ("NR_FILE_PAGES", "PGSTEAL_PROACTIVE", "PGSCAN_PROACTIVE", "WORKINGSET_REFAULT_FILE")

    def settled() -> dict[str, int]:
        # Anonymous memory adds to none of the items, but its updates make the flush of all that came before certain.
        memcg.charge_anon(2 * surely_flushed(vm.cpus) * vm.page_size)
        calls = [Call("PAGE_STATE", getattr(items, name)) for name in names]
        return dict(zip(names, kfuncs.batch(memcg, [Call("FLUSH_STATS"), *calls])[1:], strict=True))

    memcg.map_file(kernel.image, size)
    full = settled()
    assert full["NR_FILE_PAGES"] >= size, f"{size} bytes of a file were mapped in {memcg.path}, seen {full}"
    memcg.reclaim(size)
    after = settled()
    pages = (full["NR_FILE_PAGES"] - after["NR_FILE_PAGES"]) // vm.page_size
    assert pages * vm.page_size >= size // 2, f"of the page cache of {memcg.path} too little was reclaimed: {after}"
    assert after["PGSTEAL_PROACTIVE"] == pages, f"{memcg.path} lost {pages} pages of page cache, seen {after}"
    assert pages <= after["PGSCAN_PROACTIVE"] <= 100 * pages, f"{memcg.path} lost {pages} pages, seen {after}"
    memcg.touch_file()
    again = settled()
    assert pages // 2 <= again["WORKINGSET_REFAULT_FILE"] <= pages, (
        f"in {memcg.path} {pages} pages were reclaimed and then read again, seen {again}"
    )


def test_page_state_of_a_sibling_is_its_own(vm: Vm, memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    busy, idle = memcg.child("busy"), memcg.child("idle")
    busy.charge_anon(4 * MiB)
    least = 4 * MiB - flush_lag(vm.cpus) * vm.page_size
    assert flushed(kfuncs, memcg, items.NR_ANON_MAPPED) >= least
    assert kfuncs.page_state(idle, items.NR_ANON_MAPPED) == 0, "4 MiB were charged to its sibling"


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
