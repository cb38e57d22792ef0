# SPDX-License-Identifier: GPL-2.0-only
"""Values of memory that left: to a swap disk, to zswap, or nowhere since it was all zeros.

The measure is what the system counts of it in /proc/vmstat, past the memcgs, and memory.swap.current, a page counter.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from conftest import Items
from kfunctest.contract import MEMORY_EVENTS, Contract
from kfunctest.guest import agent, cgroup
from kfunctest.kernels.model import Kernel
from kfunctest.machine.kfuncs import ULONG_MAX, Call, Kfuncs
from kfunctest.machine.memcg import Memcg, MiB
from kfunctest.machine.vm import Vm
from kfunctest.plugin.applicable import needs
from kfunctest.statkeys import SWAP_EVENTS
from kfunctest.tolerances import WORKER_PAGES, settled_slack
from kfunctest.wait import wait_until
from selftests.lru import GENERATIONS, TWO_LISTS, aged_by
from selftests.swapping import ZSWAP, swap_disk

pytestmark = [pytest.mark.slow_boot, pytest.mark.destructive("changes what the machine swaps to")]

DISK = 32 * MiB
SIZE = 4 * MiB


@pytest.fixture(autouse=True)
def swap(vm: Vm, kernel: Kernel) -> Iterator[None]:
    """Somewhere to swap to, past zswap."""
    with swap_disk(vm, kernel, DISK):
        yield


def system(vm: Vm) -> dict[str, int]:
    """What the system counts, past all memcgs, to the last one: each CPU holds some back until it is asked."""
    vm.call(cgroup.write_file, "/proc/sys/vm/stat_refresh", "1")
    return vm.call(agent.read_numbers, "/proc/vmstat")


def pool(vm: Vm) -> int:
    """Bytes of memory that zswap keeps compressed pages in, by the system's own count of its pages."""
    meminfo = vm.call(cgroup.read_file, "/proc/meminfo")
    kib = next(line.split()[1] for line in meminfo.splitlines() if line.startswith("Zswap:"))
    return int(kib) << 10


def read(kfuncs: Kfuncs, memcg: Memcg, items: Items, *names: str) -> dict[str, int]:
    """The items after a flush of all that was done before; -1 is none of their values."""
    seen = dict(zip(names, kfuncs.settled(memcg, *map(items.call, names)), strict=True))
    assert ULONG_MAX not in seen.values(), f"items of {memcg.path}, which memcg tracks: expected no -1, seen {seen}"
    return seen


@pytest.mark.kfunc(name="page_state")
def test_swap_is_told_in_bytes_and_falls_back(vm: Vm, memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    """What left NR_ANON_MAPPED is in MEMCG_SWAP, which is memory.swap.current exactly; read again, it has left that."""
    memcg.do("charge_written", SIZE)
    memcg.do("page_out")
    seen = read(kfuncs, memcg, items, "MEMCG_SWAP")["MEMCG_SWAP"]
    current = int(memcg.read("memory.swap.current"))
    assert seen == current, f"MEMCG_SWAP of {memcg.path} in bytes: memory.swap.current says {current}, seen {seen}"
    assert SIZE // 2 <= seen <= SIZE + settled_slack(vm.page_size), (
        f"MEMCG_SWAP of {memcg.path} in bytes: expected {SIZE // 2} to {SIZE}, which were paged out, seen {seen}"
    )
    memcg.do("release_areas")
    slack = settled_slack(vm.page_size)
    kept = read(kfuncs, memcg, items, "MEMCG_SWAP")["MEMCG_SWAP"]
    assert kept <= slack, f"MEMCG_SWAP of {memcg.path} in bytes after the release: expected up to {slack}, seen {kept}"


@pytest.mark.kfunc(name="vm_events")
def test_pages_swapped_out_and_in_are_counted(
    vm: Vm, kernel: Kernel, memcg: Memcg, kfuncs: Kfuncs, items: Items
) -> None:
    """As many as the system counts: nothing else swaps. Each page that comes back is a major fault, or read ahead."""
    needs("NR_HUGETLB" in items.enum("node_stat_item"), "memcg of this kernel does not track PSWPIN and PSWPOUT")
    before = system(vm)
    memcg.do("charge_written", SIZE)
    memcg.do("page_out")
    memcg.do("read_areas")
    seen = read(kfuncs, memcg, items, "PSWPOUT", "PSWPIN")
    after = system(vm)
    expected = {name: after[name.lower()] - before[name.lower()] for name in seen}
    assert seen == expected, f"pages of {memcg.path}: the system counts {expected}, seen {seen}"
    least = SIZE // 2 // vm.page_size
    assert min(seen.values()) >= least, f"pages of {memcg.path}: expected {least} or more of each, seen {seen}"


@pytest.mark.kfunc(name="vm_events")
def test_pages_of_zeros_go_nowhere_and_are_counted(vm: Vm, memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    needs("SWPOUT_ZERO" in items.enum("vm_event_item"), "this kernel does not look for pages of zeros")
    before = system(vm)
    memcg.do("charge_zeros", SIZE)
    memcg.do("page_out")
    memcg.do("read_areas")
    seen = read(kfuncs, memcg, items, "SWPOUT_ZERO", "SWPIN_ZERO")
    after = system(vm)
    expected = {name: after[name.lower()] - before[name.lower()] for name in seen}
    assert seen == expected, f"pages of zeros of {memcg.path}: the system counts {expected}, seen {seen}"
    least = SIZE // 2 // vm.page_size
    assert min(seen.values()) >= least, f"pages of zeros of {memcg.path}: expected {least} or more, seen {seen}"


@pytest.mark.kfunc(name="page_state")
def test_zswap_is_told_compressed_and_as_it_was(
    vm: Vm, kernel: Kernel, memcg: Memcg, kfuncs: Kfuncs, items: Items
) -> None:
    """MEMCG_ZSWAP_B is what the compressed pages take, in bytes; MEMCG_ZSWAPPED is what these were, page by page.

    memory.zswap.current is the same number by the same code, so that the pool's size is the measure: the allocator puts
    a page's rest of a few bytes more into objects of a few sizes, and may leave one place of each size unused.
    """
    needs(kernel.option("CONFIG_ZSWAP") == "y", "CONFIG_ZSWAP is not set")
    vm.call(cgroup.write_file, ZSWAP, "Y")
    before, empty = system(vm), pool(vm)
    memcg.do("charge_written", SIZE)
    memcg.do("page_out")
    names = ("MEMCG_ZSWAP_B", "MEMCG_ZSWAPPED", "ZSWPOUT", "ZSWPIN")
    seen = read(kfuncs, memcg, items, *names)
    current = int(memcg.read("memory.zswap.current"))
    assert seen["MEMCG_ZSWAP_B"] == current, f"{memcg.path}: memory.zswap.current says {current}, seen {seen}"
    taken = pool(vm) - empty
    least = (taken - WORKER_PAGES * vm.page_size) // 2
    assert max(1, least) <= current <= taken, (
        f"MEMCG_ZSWAP_B of {memcg.path}, bytes: expected {least} to {taken}, by which zswap's pool grew, seen {seen}"
    )
    stored = system(vm)["zswpout"] - before["zswpout"]
    assert seen["ZSWPOUT"] == stored, f"pages of {memcg.path} given to zswap: the system counts {stored}, seen {seen}"
    assert seen["MEMCG_ZSWAPPED"] == stored * vm.page_size >= SIZE // 2, (
        f"MEMCG_ZSWAPPED of {memcg.path} in bytes: zswap was given {stored} pages, seen {seen}"
    )
    memcg.do("read_areas")
    back = read(kfuncs, memcg, items, *names)
    loaded = system(vm)["zswpin"] - before["zswpin"]
    assert back["ZSWPIN"] == loaded >= SIZE // 2 // vm.page_size, (
        f"pages of {memcg.path} taken from zswap: the system counts {loaded}, seen {back}"
    )
    memcg.do("release_areas")
    kept = read(kfuncs, memcg, items, *names)
    slack = settled_slack(vm.page_size)
    assert kept["MEMCG_ZSWAP_B"] <= kept["MEMCG_ZSWAPPED"] <= slack, (
        f"zswap of {memcg.path} after the release: expected up to {slack} bytes, and fewer compressed, seen {kept}"
    )


@pytest.mark.kfunc(name="page_state")
@pytest.mark.parametrize("how", [TWO_LISTS, GENERATIONS])
def test_pages_that_came_back_belong_to_the_working_set(
    vm: Vm, kernel: Kernel, memcg: Memcg, kfuncs: Kfuncs, items: Items, how: str
) -> None:
    """As many as the system counts: a page read again is a refault, one that was in use until it went is restored."""
    names = tuple(f"WORKINGSET_{what}_ANON" for what in ("REFAULT", "ACTIVATE", "RESTORE"))
    before = system(vm)
    with aged_by(vm, kernel, how):
        memcg.do("charge_written", SIZE)
        for _ in range(2):
            # Whether a page was in use goes by the lists' lengths as of the last flush.
            read(kfuncs, memcg, items, *names)
            memcg.do("page_out")
            memcg.do("read_areas")
    seen, after = read(kfuncs, memcg, items, *names), system(vm)
    expected = {name: after[name.lower()] - before[name.lower()] for name in names}
    assert seen == expected, f"{memcg.path}, {how}, pages: the system counts {expected} more, seen {seen}"
    least = SIZE // vm.page_size
    assert seen["WORKINGSET_REFAULT_ANON"] >= least, (
        f"pages of {memcg.path} read again: expected {least} or more, seen {seen}"
    )
    # By generations none of these was in use: they were read once, and then went.
    assert how == GENERATIONS or min(seen.values()) >= least // 2, (
        f"pages of {memcg.path} read again that were in use: expected {least // 2} or more, seen {seen}"
    )


@pytest.mark.kfunc(name="page_state")
def test_pages_that_others_still_have_in_swap_are_in_the_swap_cache(
    vm: Vm, memcg: Memcg, kfuncs: Kfuncs, items: Items
) -> None:
    """What two processes share and one reads is in memory and on the disk: in bytes, as much as the system has."""
    memcg.do("charge_written", SIZE)
    memcg.fork_children(1)
    memcg.reclaim(SIZE)
    memcg.do("read_areas")
    seen = read(kfuncs, memcg, items, "NR_SWAPCACHE")["NR_SWAPCACHE"]
    expected = system(vm)["nr_swapcached"] * vm.page_size
    assert seen == expected >= SIZE // 4, (
        f"NR_SWAPCACHE of {memcg.path} in bytes: the system has {expected}, seen {seen}"
    )
    memcg.kill()
    memcg.start()
    # Whom the worker had started ends by itself, a moment later.
    wait_until(
        lambda: read(kfuncs, memcg, items, "NR_SWAPCACHE")["NR_SWAPCACHE"],
        until=lambda kept: kept == 0,
        seconds=vm.stretched(3),
        what=f"NR_SWAPCACHE of {memcg.path} in bytes to be 0 after the release",
    )


@pytest.mark.kfunc(name="page_state")
def test_zswap_tells_what_it_could_not_compress(
    vm: Vm, kernel: Kernel, memcg: Memcg, kfuncs: Kfuncs, items: Items
) -> None:
    """Such a page is kept as it is: compressed and not are the same number of bytes, each of them incompressible.

    What zswap takes is kernel memory, and given back as such.
    """
    needs(kernel.option("CONFIG_ZSWAP") == "y", "CONFIG_ZSWAP is not set")
    needs("MEMCG_ZSWAP_INCOMP" in items.enum("memcg_stat_item"), "memcg of this kernel has no MEMCG_ZSWAP_INCOMP")
    vm.call(cgroup.write_file, ZSWAP, "Y")
    memcg.do("charge_random", SIZE)
    kernel_memory = read(kfuncs, memcg, items, "MEMCG_KMEM")["MEMCG_KMEM"]
    memcg.do("page_out")
    names = ("MEMCG_ZSWAP_INCOMP", "MEMCG_ZSWAP_B", "MEMCG_ZSWAPPED")
    seen = read(kfuncs, memcg, items, *names, "MEMCG_KMEM")
    current = int(memcg.read("memory.zswap.current"))
    grown = seen.pop("MEMCG_KMEM") - kernel_memory
    assert seen == dict.fromkeys(names, current), f"{memcg.path}, bytes: memory.zswap.current is {current}, seen {seen}"
    assert current >= SIZE // 2, f"memory.zswap.current of {memcg.path}: of {SIZE} bytes paged out, seen {current}"
    slack = settled_slack(vm.page_size)
    assert abs(grown - current) <= slack, (
        f"MEMCG_KMEM of {memcg.path}, bytes: zswap took {current}, expected that +- {slack} more, seen {grown}"
    )
    memcg.do("release_areas")
    kept = read(kfuncs, memcg, items, *names, "MEMCG_KMEM")
    grown = kept.pop("MEMCG_KMEM") - kernel_memory
    assert not any(kept.values()), f"{memcg.path}, bytes in zswap after the release: expected 0 of each, seen {kept}"
    assert abs(grown) <= slack, (
        f"MEMCG_KMEM of {memcg.path}, bytes: zswap gave back {current}, expected {kernel_memory} +- {slack} as before, "
        f"seen {grown} more"
    )


@pytest.mark.kfunc(name="vm_events")
def test_pages_that_zswap_passes_on_to_the_disk_are_counted(
    vm: Vm, kernel: Kernel, memcg: Memcg, kfuncs: Kfuncs, items: Items
) -> None:
    """memory.zswap.max is small: what is there makes room for what comes. As many as the system counts."""
    needs(kernel.option("CONFIG_ZSWAP") == "y", "CONFIG_ZSWAP is not set")
    vm.call(cgroup.write_file, ZSWAP, "Y")
    before = system(vm)
    memcg.start()
    memcg.write("memory.zswap.max", str(4 * vm.page_size))
    memcg.do("charge_written", SIZE)
    memcg.do("page_out")
    seen = read(kfuncs, memcg, items, "ZSWPWB")["ZSWPWB"]
    expected = system(vm)["zswpwb"] - before["zswpwb"]
    assert seen == expected >= 1, f"ZSWPWB of {memcg.path}, pages: the system counts {expected}, seen {seen}"


def swap_events(memcg: Memcg, kfuncs: Kfuncs, items: Items) -> dict[str, int]:
    """What the kfunc says of every event of memory.swap.events, by key, which must be what the file says."""
    events = dict(line.split() for line in memcg.read("memory.swap.events").splitlines())
    assert events.keys() == SWAP_EVENTS.keys(), f"keys of memory.swap.events: expected {[*SWAP_EVENTS]}, seen {events}"
    calls = [Call("MEMORY_EVENTS", getattr(items, name)) for name in SWAP_EVENTS.values()]
    seen = dict(zip(SWAP_EVENTS, kfuncs.batch(memcg, calls), strict=True))
    expected = {key: int(count) for key, count in events.items()}
    assert seen == expected, f"swap events of {memcg.path}: memory.swap.events says {expected}, the kfunc {seen}"
    return seen


@pytest.mark.kfunc(name="memory_events")
@pytest.mark.parametrize("above", [False, True], ids=["of its own", "above"])
def test_memory_events_count_swap_beyond_its_high_limit(
    contract: Contract, memcg: Memcg, kfuncs: Kfuncs, items: Items, above: bool
) -> None:
    """Whoever charges while memory.swap.high is exceeded is slowed down, by the square of how far, and that is counted:
    in the memcg that has the limit, and not in who charges below it.
    """
    needs(MEMORY_EVENTS in contract.kfuncs, f"contract {contract.name} has no {MEMORY_EVENTS}")
    group = memcg.child() if above else memcg
    group.do("charge_written", SIZE)
    group.do("page_out")
    memcg.write("memory.swap.high", str(int(memcg.read("memory.swap.current")) * 15 // 16))
    group.charge_anon(MiB)
    seen = swap_events(memcg, kfuncs, items)
    assert seen["high"] >= 1, f"memory.swap.high of {memcg.path} was exceeded: expected high 1 or more, seen {seen}"
    if above:
        below = swap_events(group, kfuncs, items)
        assert below["high"] == 0, f"{group.path}, which has no memory.swap.high: expected high 0, seen {below}"


@pytest.mark.kfunc(name="memory_events")
def test_memory_events_count_what_memory_swap_events_does(
    contract: Contract, memcg: Memcg, kfuncs: Kfuncs, items: Items
) -> None:
    """memory.swap.max is hit, and the page stays: max and fail, each of them in its own place."""
    needs(MEMORY_EVENTS in contract.kfuncs, f"contract {contract.name} has no {MEMORY_EVENTS}")
    memcg.start()
    memcg.write("memory.swap.max", str(SIZE // 4))
    memcg.do("charge_written", SIZE)
    memcg.do("page_out")
    seen = swap_events(memcg, kfuncs, items)
    assert seen["max"] >= 1, f"memory.swap.max of {memcg.path} was hit: expected max 1 or more, seen {seen}"
    assert seen["fail"] >= 1, f"swapping from {memcg.path} was refused: expected fail 1 or more, seen {seen}"
