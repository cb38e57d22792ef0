# SPDX-License-Identifier: GPL-2.0-only
"""bpf_mem_cgroup_page_state(): one item of node_stat_item or memcg_stat_item, hierarchical, as of the last flush.

Its unit is the one that memory.stat prints: bytes for memory, a count for events. An index that memcg does not track
gives -1.
"""

from __future__ import annotations

import pytest

from conftest import Items
from kfunctest.contract import Contract
from kfunctest.guest import agent, cgroup
from kfunctest.kernels.model import Kernel
from kfunctest.machine.kernel_log import logged
from kfunctest.machine.kfuncs import INT_MAX, INT_MIN, PENDING, ULONG_MAX, Call, Kfuncs
from kfunctest.machine.memcg import Memcg, MiB
from kfunctest.machine.vm import Vm
from kfunctest.plugin.targets import spare
from kfunctest.statkeys import PROACTIVE, SUMS, printed, through_page_state, through_vm_events
from kfunctest.tolerances import (
    STACK_PAGES,
    WORKER_PAGES,
    Sandwich,
    plenty,
    sandwich,
    settled_slack,
    slab_held_back,
    surely_flushed,
)
from selftests.flushing import made_pending

pytestmark = pytest.mark.kfunc(name="page_state")

#: Items that memcg does not track. NR_VMSCAN_WRITE is none of them: 7.3 has it in memcg_node_stat_items[],
#: mm/memcontrol.c, though memory.stat does not print it.
UNTRACKED = ("NR_ISOLATED_ANON", "NR_DIRTIED", "NR_WRITTEN", "NR_VMSCAN_IMMEDIATE")


def settled(kfuncs: Kfuncs, memcg: Memcg, item: int, *, busy: Memcg | None = None) -> int:
    """The item after a flush of all that was done before, by the worker in ``busy`` or else in the memcg itself."""
    return kfuncs.settled(memcg, Call("PAGE_STATE", item), busy=busy)[0]


@pytest.mark.parametrize(
    "charge, release, item",
    [("charge_anon", "release_anon", "NR_ANON_MAPPED"), ("charge_shmem", "release_shmem", "NR_SHMEM")],
)
def test_page_state_follows_the_bytes_touched(
    vm: Vm, memcg: Memcg, kfuncs: Kfuncs, items: Items, charge: str, release: str, item: str
) -> None:
    """Up and down again, by far more updates than the flush threshold."""
    memcg.start()
    before = settled(kfuncs, memcg, getattr(items, item))
    touched = getattr(memcg, charge)(plenty(vm.cpus, vm.page_size))
    grown = settled(kfuncs, memcg, getattr(items, item)) - before
    slack = settled_slack(vm.page_size)
    assert abs(grown - touched) <= slack, f"{item} of {memcg.path} grew by {grown} bytes, expected {touched} +- {slack}"
    getattr(memcg, release)()
    kept = settled(kfuncs, memcg, getattr(items, item)) - before
    assert abs(kept) <= slack, f"{item} of {memcg.path} kept {kept} bytes after the release, expected 0 +- {slack}"


def test_page_state_agrees_with_memory_stat(vm: Vm, memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    """Every key of the table, exactly. Two readings through BPF hold one of the file between them, so that the periodic
    flusher, which may strike at any time, is noticed and not mistaken for a wrong value.
    """
    keys = memcg.stat().keys()
    events = through_vm_events(items.enum("vm_event_item"))
    names = printed(through_page_state(items.enum("node_stat_item") | items.enum("memcg_stat_item")), keys)
    unknown = sorted(keys - names.keys() - events.keys() - SUMS.keys())
    new = items.unknown("node_stat_item", "memcg_stat_item", "vm_event_item")
    assert len(unknown) <= len(new), f"keys of memory.stat that kfunctest.statkeys lacks: {unknown}"
    assert len(names) >= 20, f"only {len(names)} keys of memory.stat can be compared: {sorted(keys)}"
    size = plenty(vm.cpus, vm.page_size)
    memcg.charge_anon(size)
    memcg.charge_shmem(size // 2)
    reads = [items.call(name) for name in names.values()]
    before = kfuncs.settled(memcg, *reads)
    stat = memcg.stat()
    after = kfuncs.batch(memcg, reads)
    for (key, name), first, second in zip(names.items(), before, after, strict=True):
        value = Sandwich(first, stat[key], second)
        assert value, f"{key} ({name}) of {memcg.path}, memory.stat against page_state, in its unit: {value}"
    # The comparison above must not have been one of zeros.
    for key, least in {"anon": size, "shmem": size // 2, "pagetables": vm.page_size}.items():
        assert stat[key] >= least, f"{key} of {memcg.path} in bytes: expected {least} or more, seen {stat[key]}"


@pytest.mark.kfunc(name="flush_stats")
def test_memory_stat_is_flushed_when_it_is_read(vm: Vm, memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    """Whoever compares the kfuncs with it finds it flushed, and the kfuncs by it: the file first, then page_state.

    In one of a few rounds: between a look at what is pending and the reading the kernel's flusher may forget it.
    """
    memcg.start()
    size, item = surely_flushed(vm.cpus) * vm.page_size, items.call("NR_ANON_MAPPED")
    touched, slack, wrong = 0, settled_slack(vm.page_size), {"": 0}
    for _ in range(3):
        before = kfuncs.settled(memcg, item)[0]
        touched = made_pending(vm, lambda: kfuncs.batch(memcg, [PENDING])[0], lambda: memcg.charge_anon(size))
        told, seen = memcg.stat()["anon"], kfuncs.batch(memcg, [item])[0]
        grown = {"anon in memory.stat": told - before, "NR_ANON_MAPPED after it": seen - before}
        wrong = {what: value for what, value in grown.items() if abs(value - touched) > slack}
        if not wrong:
            break
    assert not wrong, f"{memcg.path}: expected {touched} +- {slack} bytes more, in the last round, too, seen {wrong}"


def test_page_state_of_a_parent_counts_its_children(vm: Vm, memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    leaf = memcg.child().child("grandchild")
    touched = leaf.charge_anon(plenty(vm.cpus, vm.page_size))
    value = sandwich(
        lambda: settled(kfuncs, memcg, items.NR_ANON_MAPPED, busy=leaf),
        lambda: kfuncs.page_state(leaf, items.NR_ANON_MAPPED),
    )
    assert value, f"NR_ANON_MAPPED of {leaf.path}, against that of its parent {memcg.path}, in bytes: {value}"
    assert value.seen >= touched, f"NR_ANON_MAPPED of {leaf.path}: expected {touched} bytes or more, seen {value.seen}"


@pytest.mark.slow_boot
def test_page_state_counts_what_every_cpu_charged(vm: Vm, memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    """The worker charges from each CPU in turn. A flush collects from all of them."""
    memcg.start()
    for cpu in range(vm.cpus):
        memcg.pin(cpu)
        before = settled(kfuncs, memcg, items.NR_ANON_MAPPED)
        touched = memcg.charge_anon(plenty(vm.cpus, vm.page_size))
        grown = settled(kfuncs, memcg, items.NR_ANON_MAPPED) - before
        slack = settled_slack(vm.page_size)
        assert abs(grown - touched) <= slack, (
            f"NR_ANON_MAPPED of {memcg.path} grew by {grown} bytes, charged on CPU {cpu}: {touched} +- {slack}"
        )


@pytest.mark.slow_boot
def test_page_state_of_kernel_memory_is_in_bytes(
    vm: Vm, kernel: Kernel, memcg: Memcg, kfuncs: Kfuncs, items: Items
) -> None:
    """Kernel stacks are kept in KiB, page tables in pages, slab and per-CPU memory in bytes. memory.stat would be wrong
    along with page_state, so the measure is what was made: processes, each with one stack. The parts fit into the
    kernel memory that was charged, and that into the usage.
    """
    # Per-CPU memory may be none: where it fits into what the kernel booted with, it is not charged (mm/percpu.c).
    leaf = memcg.child()
    leaf.start()
    names = ("NR_KERNEL_STACK_KB", "NR_PAGETABLE", "NR_SLAB_UNRECLAIMABLE_B", "NR_SLAB_RECLAIMABLE_B", "MEMCG_PERCPU_B")
    calls = [Call("PAGE_STATE", getattr(items, name)) for name in (*names, "MEMCG_KMEM")]
    before = settled(kfuncs, memcg, items.NR_KERNEL_STACK_KB, busy=leaf)
    children = leaf.fork_children(16)
    leaf.charge_anon(plenty(vm.cpus, vm.page_size))
    grown = settled(kfuncs, memcg, items.NR_KERNEL_STACK_KB, busy=leaf) - before
    expected = children * STACK_PAGES[kernel.option("CONFIG_KASAN") == "y"] * vm.page_size
    assert grown == expected, (
        f"NR_KERNEL_STACK_KB of {memcg.path}: {children} processes, expected {expected} bytes, seen {grown}"
    )
    *sizes, whole, usage = kfuncs.batch(memcg, [*calls, Call("USAGE")])
    parts = dict(zip(names, sizes, strict=True))
    used = [parts[name] > 0 for name in ("NR_KERNEL_STACK_KB", "NR_PAGETABLE", "NR_SLAB_UNRECLAIMABLE_B")]
    assert all(used), f"processes in {memcg.path} need stacks, page tables and slab; seen in bytes: {parts}"
    assert sum(parts.values()) <= whole + slab_held_back(vm.cpus), (
        f"parts of kernel memory of {memcg.path} in bytes: expected {whole} together at most, seen {parts}"
    )
    assert whole <= usage, f"MEMCG_KMEM of {memcg.path} in bytes: expected up to its usage, {usage}, seen {whole}"


def refaults_of_the_system(vm: Vm) -> int:
    """Pages of files that were read again, to the last one: each CPU holds some back until it is asked."""
    vm.call(cgroup.write_file, "/proc/sys/vm/stat_refresh", "1")
    return vm.call(agent.read_numbers, "/proc/vmstat")["workingset_refault_file"]


@pytest.mark.slow_boot
def test_page_state_of_reclaim_is_a_count(vm: Vm, kernel: Kernel, memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    """Pages that were scanned, stolen and read again are counted, not measured: the page cache tells how many."""
    size = 1 * MiB
    counters = items.enum("node_stat_item") | items.enum("vm_event_item")
    scan, steal = next(pair for pair in PROACTIVE if pair[0] in counters)
    names = ("NR_FILE_PAGES", scan, steal, "WORKINGSET_REFAULT_FILE")

    def read() -> dict[str, int]:
        # The faults that make the flush certain, on anonymous memory, add to none of the items.
        return dict(zip(names, kfuncs.settled(memcg, *map(items.call, names)), strict=True))

    memcg.map_file(kernel.image, size)
    full = read()
    assert full["NR_FILE_PAGES"] >= size, (
        f"NR_FILE_PAGES of {memcg.path} in bytes: expected {size} or more, which were mapped, seen {full}"
    )
    memcg.reclaim(size)
    after = read()
    pages = (full["NR_FILE_PAGES"] - after["NR_FILE_PAGES"]) // vm.page_size
    assert pages * vm.page_size >= size // 2, (
        f"page cache reclaimed from {memcg.path}: expected {size // 2} bytes or more, seen {pages} pages, {after}"
    )
    # Of the worker's own code some pages may be reclaimed too, and read again at once.
    assert pages <= after[steal] <= pages + WORKER_PAGES, f"{memcg.path} lost {pages} pages, seen {after}"
    assert pages <= after[scan] <= 100 * pages, f"{memcg.path} lost {pages} pages, seen {after}"
    # Whether reading a page again is a refault is the kernel's decision: /proc/vmstat tells, past the memcg's counters.
    refaults = refaults_of_the_system(vm)
    memcg.touch_file()
    refaults = refaults_of_the_system(vm) - refaults
    again = read()
    assert refaults - WORKER_PAGES <= again["WORKINGSET_REFAULT_FILE"] <= refaults + WORKER_PAGES, (
        f"while {memcg.path} read {pages} reclaimed pages again the system counted {refaults} refaults, seen {again}"
    )


@pytest.mark.slow_boot
@pytest.mark.parametrize("key", SUMS)
def test_a_sum_of_memory_stat_is_that_of_its_parts(
    vm: Vm, kernel: Kernel, memcg: Memcg, kfuncs: Kfuncs, items: Items, key: str
) -> None:
    """An oracle for the unit of each part, of whichever enum it is a member: kernels differ in the parts they have."""
    memcg.map_file(kernel.image, 1 * MiB)
    memcg.reclaim(1 * MiB)
    memcg.fork_children(16)
    memcg.charge_anon(plenty(vm.cpus, vm.page_size))
    names = through_page_state(items.enum("node_stat_item")) | through_vm_events(items.enum("vm_event_item"))
    parts = [names[part] for part in SUMS[key] if part in names]
    kfuncs.settled(memcg)
    value = sandwich(lambda: sum(kfuncs.flushed(memcg, *map(items.call, parts))), lambda: memcg.stat()[key])
    assert value, f"{key} in memory.stat of {memcg.path}, against the sum of {parts}: {value}"
    assert value.seen > 0, f"{key} in memory.stat of {memcg.path}: expected more than 0 after reclaim and forks"


def test_page_state_of_a_sibling_is_its_own(vm: Vm, memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    busy, idle = memcg.child("busy"), memcg.child("idle")
    touched = busy.charge_anon(plenty(vm.cpus, vm.page_size))
    whole = settled(kfuncs, memcg, items.NR_ANON_MAPPED, busy=busy)
    slack = settled_slack(vm.page_size)
    assert abs(whole - touched) <= slack, (
        f"NR_ANON_MAPPED of {memcg.path} in bytes: a child touched {touched}, expected that +- {slack}, seen {whole}"
    )
    seen = kfuncs.page_state(idle, items.NR_ANON_MAPPED)
    assert seen == 0, f"NR_ANON_MAPPED of {idle.path} in bytes: expected 0, seen {seen}; its sibling touched {touched}"


@pytest.mark.destructive("reads out of bounds on a kernel that does not check")
def test_page_state_of_an_index_outside_the_enum_is_minus_one(
    vm: Vm, memcg: Memcg, kfuncs: Kfuncs, items: Items
) -> None:
    """In every revision, and without a warning."""
    outside = [-1, items.MEMCG_NR_STAT, items.MEMCG_NR_STAT + 1, INT_MIN, INT_MAX]
    seen, log = logged(vm, lambda: kfuncs.batch(memcg, [Call("PAGE_STATE", index) for index in outside]))
    found = dict(zip(outside, seen, strict=True))
    assert found == dict.fromkeys(outside, ULONG_MAX), (
        f"items out of range, of {memcg.path}: expected {ULONG_MAX:#x} for each index, seen {found}"
    )
    assert "missing stat item" not in log, f"items out of range: expected no warning, the kernel logged:\n{log}"


def test_page_state_takes_the_first_and_the_last_index(memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    """The neighbours of the bounds: NR_LRU_BASE (0) is NR_INACTIVE_ANON, MEMCG_NR_STAT - 1 a memcg item; and the bound
    of one enum is the first member of the other.
    """
    border = items.NR_VM_NODE_STAT_ITEMS
    assert border == items.MEMCG_SWAP, f"MEMCG_SWAP: expected NR_VM_NODE_STAT_ITEMS, {border}, seen {items.MEMCG_SWAP}"
    last = items.MEMCG_NR_STAT - 1
    valid = [0, border, *([last] if last not in items.unknown("memcg_stat_item").values() else [])]
    found = dict(zip(valid, kfuncs.batch(memcg, [Call("PAGE_STATE", index) for index in valid]), strict=True))
    assert found == dict.fromkeys(valid, 0), f"items of the empty {memcg.path}: expected 0 of each, seen {found}"


def test_page_state_of_items_that_memcg_does_not_track(
    request: pytest.FixtureRequest, vm: Vm, contract: Contract, memcg: Memcg, kfuncs: Kfuncs, items: Items
) -> None:
    """As merged: -1, and no warning. As posted: 0, and the first one a warning."""
    calls = [Call("PAGE_STATE", getattr(items, name)) for name in UNTRACKED]
    if not contract.untracked_is_minus_one:
        spare(request.node, "a warning")
        request.applymarker(pytest.mark.expect_splat("warn", match="missing stat item"))
    seen, log = logged(vm, lambda: kfuncs.batch(memcg, calls))
    found = dict(zip(UNTRACKED, seen, strict=True))
    expected = dict.fromkeys(UNTRACKED, ULONG_MAX if contract.untracked_is_minus_one else 0)
    assert found == expected, f"items that memcg does not track, of {memcg.path}: expected {expected}, seen {found}"
    warnings = 0 if contract.untracked_is_minus_one else 1
    assert log.count("missing stat item") == warnings, f"expected {warnings} warnings, the kernel logged:\n{log}"
