# SPDX-License-Identifier: GPL-2.0-only
"""Values of transparent huge pages beyond those that a fault makes: collapsed, of shared memory, of files, swapped out.

The measure is what the worker asked for, and for events what the system counts in /proc/vmstat, past the memcgs.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from conftest import Items
from kfunctest.guest import agent, cgroup, disks
from kfunctest.guest.background import KHUGEPAGED, PROACTIVENESS
from kfunctest.kernels.model import Kernel
from kfunctest.machine.kfuncs import Kfuncs
from kfunctest.machine.memcg import Memcg, MiB
from kfunctest.machine.vm import Vm
from kfunctest.plugin.applicable import needs
from kfunctest.tolerances import settled_slack
from kfunctest.wait import wait_until
from selftests.background import asleep
from selftests.swapping import swap_disk

pytestmark = pytest.mark.slow_boot

SETTINGS = "/sys/kernel/mm/transparent_hugepage"
FOLDER = "/run/kfunctest-huge"
HUGE = 2 * MiB
COUNT = 3
DISK = 32 * MiB


@pytest.fixture(autouse=True)
def huge_pages(kernel: Kernel) -> None:
    """A kernel with transparent huge pages."""
    needs(kernel.option("CONFIG_TRANSPARENT_HUGEPAGE") == "y", "CONFIG_TRANSPARENT_HUGEPAGE is not set")


def read(kfuncs: Kfuncs, memcg: Memcg, items: Items, *names: str) -> dict[str, int]:
    """The items after a flush of all that was done before."""
    return dict(zip(names, kfuncs.settled(memcg, *map(items.call, names)), strict=True))


@pytest.mark.kfunc(name="page_state")
@pytest.mark.parametrize(
    "shared, huge, whole", [(False, "NR_ANON_THPS", "NR_ANON_MAPPED"), (True, "NR_SHMEM_THPS", "NR_SHMEM")]
)
def test_pages_that_are_made_huge_are_counted_whole(
    vm: Vm, memcg: Memcg, kfuncs: Kfuncs, items: Items, shared: bool, huge: str, whole: str
) -> None:
    """In bytes, as part of all such memory, which does not grow by it; each is an event. Freed, they are gone."""
    memcg.start()
    start = read(kfuncs, memcg, items, huge, whole, "THP_COLLAPSE_ALLOC")
    # khugepaged might make them huge, too; what kcompactd has in its hands cannot be made huge: EAGAIN.
    with asleep(vm, KHUGEPAGED, PROACTIVENESS):
        made = memcg.do("collapse", COUNT, shared)
    now = read(kfuncs, memcg, items, *start)
    grown = {name: now[name] - start[name] for name in start}
    assert grown[huge] == made, (
        f"{huge} of {memcg.path} in bytes: expected {made} more, which were made huge, seen {grown}"
    )
    slack = settled_slack(vm.page_size) + HUGE  # the ends of what is not aligned, too
    assert abs(grown[whole] - made) <= slack, (
        f"{whole} of {memcg.path} in bytes: expected {made} +- {slack} more, seen {grown}"
    )
    assert grown["THP_COLLAPSE_ALLOC"] == COUNT, (
        f"THP_COLLAPSE_ALLOC of {memcg.path}: expected {COUNT} more, seen {grown}"
    )
    memcg.do("release_areas")
    kept = read(kfuncs, memcg, items, *start)
    assert kept[huge] == start[huge], f"{huge} of {memcg.path}: {made} bytes were freed, expected {start}, seen {kept}"


@pytest.mark.kfunc(name="page_state")
def test_huge_pages_with_holes_are_counted_as_small_ones(vm: Vm, memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    """Every other page of them is given back: none is huge any more, and what is left is mapped as before."""
    memcg.start()
    start = read(kfuncs, memcg, items, "NR_ANON_THPS", "NR_ANON_MAPPED")
    made = memcg.do("charge_huge", COUNT)
    memcg.do("make_holes")
    now = read(kfuncs, memcg, items, *start)
    grown = {name: now[name] - start[name] for name in start}
    assert grown["NR_ANON_THPS"] == 0, (
        f"NR_ANON_THPS of {memcg.path} in bytes: {COUNT} huge pages got holes, expected 0 more, seen {grown}"
    )
    slack = settled_slack(vm.page_size)
    assert abs(grown["NR_ANON_MAPPED"] - made // 2) <= slack, (
        f"NR_ANON_MAPPED of {memcg.path} in bytes: of {made} half was given back, expected half +- {slack}, {grown}"
    )


@pytest.fixture
def eager(vm: Vm) -> Iterator[None]:
    """A kernel that makes huge pages of whatever it may, at every fault and all the time."""
    wanted = {"enabled": "always", "khugepaged/scan_sleep_millisecs": "10", "khugepaged/max_ptes_shared": "511"}
    before = {name: vm.call(agent.read_text, f"{SETTINGS}/{name}") for name in wanted}
    for name, value in wanted.items():
        vm.call(agent.write_text, f"{SETTINGS}/{name}", value)
    yield
    if not vm.lost:
        for name, value in before.items():
            chosen = value.partition("[")[2].partition("]")[0] or value
            vm.call(agent.write_text, f"{SETTINGS}/{name}", chosen)


@pytest.mark.destructive("changes when the system makes huge pages")
@pytest.mark.kfunc(name="page_state")
def test_who_asked_for_no_huge_page_has_none(vm: Vm, eager: None, memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    """And who asked has one. Workers ask for none unless told: whatever is measured in their memcgs, no 2 MiB come from
    nowhere. What is touched here would be in huge pages otherwise, at once or when khugepaged came by.
    """
    asked, plain = memcg.child("asked"), memcg.child("plain")
    made = asked.do("charge_huge", 1)
    touched = plain.do("charge_locked", (COUNT + 1) * HUGE)
    scans = int(vm.call(agent.read_text, f"{SETTINGS}/khugepaged/full_scans"))
    wait_until(
        lambda: int(vm.call(agent.read_text, f"{SETTINGS}/khugepaged/full_scans")),
        until=lambda now: now >= scans + 3,
        seconds=vm.stretched(10),
        interval=0.05,
        what=f"khugepaged to have looked at everything twice, {scans} times so far",
    )
    calls = [items.call("NR_ANON_THPS"), items.call("NR_ANON_MAPPED")]
    # While it asks, on kernels before 6.18, the whole process may have some: see workload_huge.py.
    most, (huge, _) = made + 2 * HUGE, kfuncs.settled(asked, *calls)
    assert made <= huge <= most, f"NR_ANON_THPS of {asked.path} in bytes: expected {made} to {most}, seen {huge}"
    huge, whole = kfuncs.settled(plain, *calls)
    assert huge == 0, f"NR_ANON_THPS of {plain.path} in bytes: expected 0, seen {huge}"
    assert whole >= touched, f"NR_ANON_MAPPED of {plain.path} in bytes: expected {touched} or more, seen {whole}"


@pytest.fixture
def file_system(vm: Vm, kernel: Kernel) -> Iterator[None]:
    """A file system whose page cache may be huge: ext4's driver, which takes an ext2."""
    needs(kernel.option("CONFIG_ZRAM") in ("y", "m"), "CONFIG_ZRAM is not set")
    needs(kernel.option("CONFIG_EXT4_FS") in ("y", "m"), "CONFIG_EXT4_FS is not set")
    device = vm.call_within(30, disks.add, DISK)
    vm.call_within(30, disks.mount, device, FOLDER)
    yield
    if not vm.lost:
        vm.call_within(30, disks.unmount, FOLDER)
        vm.call(disks.remove, device)


@pytest.mark.destructive("mounts a disk of its own")
@pytest.mark.kfunc(name="page_state")
def test_huge_pages_of_files_are_counted_whole(
    vm: Vm, file_system: None, memcg: Memcg, kfuncs: Kfuncs, items: Items
) -> None:
    """As many as the system counts."""
    memcg.start()
    start, before = read(kfuncs, memcg, items, "NR_FILE_THPS")["NR_FILE_THPS"], system(vm)
    memcg.write_file(f"{FOLDER}/file", COUNT * HUGE)  # perhaps in huge pages already
    memcg.do("sync")
    memcg.do("map_huge_file", f"{FOLDER}/file", COUNT * HUGE)
    grown = read(kfuncs, memcg, items, "NR_FILE_THPS")["NR_FILE_THPS"] - start
    expected = (system(vm)["nr_file_hugepages"] - before["nr_file_hugepages"]) * HUGE
    memcg.do("remove_file", f"{FOLDER}/file")
    memcg.do("release_areas")
    kept = read(kfuncs, memcg, items, "NR_FILE_THPS")["NR_FILE_THPS"] - start
    memcg.kill()
    needs(expected > 0, "this file system has no huge pages")
    assert grown == expected, f"NR_FILE_THPS of {memcg.path} in bytes: the system counts {expected} more, seen {grown}"
    assert kept == 0, f"NR_FILE_THPS of {memcg.path} in bytes: expected 0 more when the file is gone, seen {kept}"


@pytest.fixture
def swap(vm: Vm, kernel: Kernel) -> Iterator[None]:
    """A disk to swap to, past zswap."""
    needs(kernel.option("CONFIG_THP_SWAP") == "y", "CONFIG_THP_SWAP is not set")
    with swap_disk(vm, kernel, DISK):
        yield


def system(vm: Vm) -> dict[str, int]:
    """What the system counts, past all memcgs, to the last one: each CPU holds some back until it is asked."""
    vm.call(cgroup.write_file, "/proc/sys/vm/stat_refresh", "1")
    return vm.call(agent.read_numbers, "/proc/vmstat")


@pytest.mark.destructive("changes what the machine swaps to")
@pytest.mark.kfunc(name="vm_events")
@pytest.mark.parametrize("limit, name", [("max", "THP_SWPOUT"), (str(HUGE // 2), "THP_SWPOUT_FALLBACK")])
def test_huge_pages_are_swapped_out_whole_or_fall_back(
    vm: Vm, swap: None, memcg: Memcg, kfuncs: Kfuncs, items: Items, limit: str, name: str
) -> None:
    """As many as the system counts: nothing else swaps. One that finds no place as a whole is split."""
    memcg.start()
    memcg.write("memory.swap.max", limit)
    memcg.do("charge_huge", COUNT)
    before = system(vm)
    memcg.do("page_out")
    seen = read(kfuncs, memcg, items, name)[name]
    expected = system(vm)[name.lower()] - before[name.lower()]
    assert seen == expected, f"{name} of {memcg.path}: the system counts {expected} more, seen {seen}"
    assert 1 <= seen <= COUNT, (
        f"{name} of {memcg.path}: expected 1 to {COUNT}, with memory.swap.max {limit}, seen {seen}"
    )
