# SPDX-License-Identifier: GPL-2.0-only
"""Values that a CPU counted which went offline: none of them is lost, neither then nor when it comes back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from conftest import Items
from kfunctest.guest import cgroup
from kfunctest.kernels.model import Kernel
from kfunctest.machine.kfuncs import Call, Kfuncs
from kfunctest.machine.memcg import Memcg, MiB
from kfunctest.machine.vm import Vm
from kfunctest.plugin.applicable import needs
from kfunctest.tolerances import FLUSH_BATCH_UPDATES, plenty, settled_slack, usage_slack
from selftests.usage_sum import judge_sum

pytestmark = [pytest.mark.slow_boot, pytest.mark.destructive("takes a CPU offline")]

ONLINE = "/sys/devices/system/cpu/cpu1/online"
#: Pages so few that the CPU tells nobody of them until it is asked: it holds back a batch. A page of shared memory is
#: counted as file, as shmem, as mapped and as faulted; the rest is for page tables.
FEW = FLUSH_BATCH_UPDATES // 16


@pytest.fixture(autouse=True)
def second_cpu(vm: Vm, kernel: Kernel, memcg: Memcg) -> Iterator[None]:
    """A CPU that can go, and is back before the memcg of the test ends: memcgs end with callbacks on each CPU."""
    del memcg
    needs(kernel.option("CONFIG_HOTPLUG_CPU") == "y", "CONFIG_HOTPLUG_CPU is not set")
    needs(vm.cpus > 1, "there is only one CPU: --cpus 2")
    yield
    if not vm.lost:
        vm.call_within(30, cgroup.write_file, ONLINE, "1")


def settled(kfuncs: Kfuncs, memcg: Memcg, item: int) -> int:
    """The item after a flush of all that was done before, by faults that it does not count."""
    return kfuncs.settled(memcg, Call("PAGE_STATE", item))[0]


@pytest.mark.kfunc(name="page_state")
@pytest.mark.parametrize("pages", [FEW, 1024], ids=["held back", "told"])
def test_what_a_cpu_counted_outlives_it(vm: Vm, memcg: Memcg, kfuncs: Kfuncs, items: Items, pages: int) -> None:
    """Shared memory, charged on the CPU just before it goes; flushed while it is offline, and when it is back."""
    memcg.start()
    before = settled(kfuncs, memcg, items.NR_SHMEM)
    memcg.pin(1)
    touched = memcg.charge_shmem(pages * vm.page_size)
    memcg.pin(0)
    for state in ("0", "1"):
        vm.call_within(30, cgroup.write_file, ONLINE, state)
        grown = settled(kfuncs, memcg, items.NR_SHMEM) - before
        assert grown == touched, (
            f"NR_SHMEM of {memcg.path} in bytes, CPU 1 {'on' if state == '1' else 'off'}line: expected {touched} "
            f"more, which were touched there, seen {grown}"
        )
    memcg.release_shmem()
    kept = settled(kfuncs, memcg, items.NR_SHMEM) - before
    assert kept == 0, f"NR_SHMEM of {memcg.path} in bytes: CPU 1 charged it, CPU 0 released it, expected 0, seen {kept}"


@pytest.mark.kfunc(name="page_state")
def test_a_cpu_counts_in_memcgs_that_were_made_before_it_came(
    vm: Vm, memcg: Memcg, kfuncs: Kfuncs, items: Items
) -> None:
    """Made while it was offline, and charged by it when it is there: in the memcg, and in the one above."""
    vm.call_within(30, cgroup.write_file, ONLINE, "0")
    leaf = memcg.child().child("leaf")
    vm.call_within(30, cgroup.write_file, ONLINE, "1")
    leaf.pin(1)
    touched = leaf.charge_shmem(1024 * vm.page_size)
    call = Call("PAGE_STATE", items.NR_SHMEM)
    kfuncs.settled(memcg, busy=leaf)
    seen = {group.path: kfuncs.batch(group, [call])[0] for group in (memcg, leaf)}
    expected = dict.fromkeys(seen, touched)
    assert seen == expected, f"NR_SHMEM in bytes, charged on a CPU younger than the memcgs: {expected}, seen {seen}"


@pytest.mark.kfunc(name="usage")
def test_usage_that_a_cpu_charged_outlives_it(vm: Vm, memcg: Memcg, kfuncs: Kfuncs) -> None:
    """What was touched there is charged still, whatever became of the CPU's stock."""
    memcg.start()
    memcg.pin(1)
    before = kfuncs.usage(memcg)
    touched = memcg.charge_anon(4 * MiB)
    memcg.pin(0)
    vm.call_within(30, cgroup.write_file, ONLINE, "0")
    grown, current = kfuncs.usage(memcg) - before, memcg.current()
    slack = usage_slack(vm.cpus, vm.page_size)
    assert abs(grown - touched) <= slack, (
        f"usage of {memcg.path} in bytes: expected {touched} +- {slack} more, seen {grown}"
    )
    assert abs(before + grown - current) <= settled_slack(vm.page_size), (
        f"usage of {memcg.path} in bytes: memory.current says {current}, seen {before + grown}"
    )


@pytest.mark.kfunc(name="usage")
@pytest.mark.parametrize("goes", [True, False], ids=["offline", "asked to"])
def test_stock_is_given_back(vm: Vm, kernel: Kernel, memcg: Memcg, kfuncs: Kfuncs, items: Items, goes: bool) -> None:
    """By a CPU that goes, and by each when memory is short: then usage is what the memcg's items still say, exactly.

    All that is charged has an item: what users have, and the kernel's pages. Only CPUs that are online are asked.
    """
    leaf, busy = memcg.child("leaf"), memcg.child("busy")
    busy.start()
    leaf.pin(1)
    leaf.charge_anon(plenty(vm.cpus, vm.page_size))
    leaf.release_anon()
    leaf.kill()
    if goes:
        vm.call_within(30, cgroup.write_file, ONLINE, "0")
    judge_sum(vm, kernel, kfuncs, memcg, items, f"{leaf.path} having no process any more", busy)
