# SPDX-License-Identifier: GPL-2.0-only
"""Values of a memcg that everybody left: its counters went up by many paths of the kernel, and all come back to 0."""

from __future__ import annotations

import pytest

from conftest import Items
from kfunctest.kernels.model import Kernel
from kfunctest.machine.kfuncs import Call, Kfuncs
from kfunctest.machine.memcg import Memcg
from kfunctest.machine.vm import Vm
from kfunctest.plugin.applicable import needs
from kfunctest.statitems import BOUNDS, Unit, tracked, unit
from kfunctest.tolerances import plenty, small_objects_rest
from kfunctest.wait import wait_until
from selftests.usage_sum import drain, give_back, judge_sum

pytestmark = [
    pytest.mark.kfunc(name="usage"),
    pytest.mark.kfunc(name="page_state"),
    pytest.mark.slow_boot,
    pytest.mark.destructive("compacts all memory of the machine"),
]

#: Memcgs that come and go, each with something to forget.
LIVES = 8


def test_nothing_is_left_of_what_was_charged(
    vm: Vm, kernel: Kernel, memcg: Memcg, kfuncs: Kfuncs, items: Items
) -> None:
    """Every item that tells of memory is 0 when the last process has gone, and so is usage, but for the rests of pages
    that the kernel keeps for small objects. When the memcg has gone too, its parent's usage is the sum of its items.

    What counts pages that went by, such as those scanned, never falls. Sockets are left out: of a connection that was
    closed the kernel remembers the port for a minute.
    """
    needs(kernel.option("CONFIG_COMPACTION") == "y", "CONFIG_COMPACTION is not set")
    states = {*items.enum("node_stat_item"), *items.enum("memcg_stat_item")} - BOUNDS
    known = tracked(states, items.enum("vm_event_item"), lambda option: kernel.option(option) == "y").states
    gauges = sorted(name for name in known if unit(name) != Unit.COUNT)
    calls = [Call("USAGE"), *map(items.call, gauges)]
    busy, rest = memcg.child("busy"), small_objects_rest(vm.cpus, vm.page_size)
    with Memcg(vm, f"{memcg.path}/leaf") as leaf:

        def read() -> dict[str, int]:
            kfuncs.settled(memcg, busy=busy, then=lambda: give_back(vm, leaf))
            seen = dict(zip(("usage", *gauges), kfuncs.batch(leaf, calls), strict=True))
            return {name: value for name, value in seen.items() if value}

        use_all_kinds(vm, leaf)
        expected = {"usage", "NR_ANON_MAPPED", "NR_SHMEM", "NR_KERNEL_STACK_KB", "NR_PAGETABLE", "MEMCG_KMEM"}
        had = read().keys()
        assert had >= expected, f"{leaf.path}: expected more than 0 of {sorted(expected)}, seen of {sorted(had)}"
        leaf.kill()
        leaf.write("memory.high", "0")  # of what its workers read there may be page cache
        wait_until(
            read,
            until=lambda left: not left or (left.keys() == {"usage", "MEMCG_KMEM"} and max(left.values()) <= rest),
            seconds=vm.stretched(5),
            interval=0.05,
            what=f"{leaf.path}, which all have left, to have nothing of its {len(gauges)} items of memory, or {rest} "
            "bytes and less of kernel memory and usage",
        )
    judge_sum(vm, kernel, kfuncs, memcg, items, f"after {leaf.path} was removed", busy)


def use_all_kinds(vm: Vm, memcg: Memcg) -> None:
    """Have a worker take memory of many kinds, objects of the slab from one CPU to another."""
    size = plenty(vm.cpus, vm.page_size)
    memcg.charge_anon(size)
    memcg.charge_shmem(size)
    memcg.fork_children(8)
    for make, number in (("charge_huge", 2), ("charge_page_tables", 64), ("open_files", 2000)):
        memcg.do(make, number)
    for cpu in range(vm.cpus):
        memcg.pin(cpu)
        memcg.do("close_files")
        memcg.do("open_files", 1001)


def test_rests_of_pages_are_given_back_with_the_memcgs_that_had_them(
    vm: Vm, kernel: Kernel, memcg: Memcg, kfuncs: Kfuncs, items: Items
) -> None:
    """One memcg after the other comes, has small objects on one CPU which another one frees, and goes: what is kept of
    pages for such is the parent's then, and goes as well, in usage and in its item.
    """
    busy, slack = memcg.child("busy"), small_objects_rest(vm.cpus, vm.page_size)
    call = items.call("MEMCG_KMEM")

    def kept() -> int:
        return kfuncs.settled(memcg, call, busy=busy, then=lambda: drain(memcg, vm.page_size))[0]

    busy.start()
    start = kept()
    for number in range(LIVES):
        with Memcg(vm, f"{memcg.path}/{number}") as leaf:
            for cpu in range(vm.cpus):
                leaf.pin(cpu)
                leaf.do("close_files")
                leaf.do("open_files", 101)
    wait_until(
        lambda: kept() - start,
        until=lambda more: abs(more) <= slack,
        seconds=vm.stretched(5),
        interval=0.05,
        what=f"MEMCG_KMEM of {memcg.path}, bytes, to be {start} +- {slack} when {LIVES} memcgs below it went",
    )
    judge_sum(vm, kernel, kfuncs, memcg, items, f"after {LIVES} memcgs below it were removed", busy)
