# SPDX-License-Identifier: GPL-2.0-only
"""bpf_mem_cgroup_usage() and bpf_mem_cgroup_page_state() of each kind of memory: charged to the page, and given back.

Usage is a page counter, the items are counted past it: a charge that only one of them hears of parts them for good.
"""

from __future__ import annotations

import pytest

from conftest import Items
from kfunctest.contract import MEMORY_EVENTS, Contract
from kfunctest.guest import agent, cgroup
from kfunctest.kernels.model import Kernel
from kfunctest.machine.kfuncs import Call, Kfuncs
from kfunctest.machine.memcg import Memcg, MiB
from kfunctest.machine.vm import Vm
from kfunctest.plugin.applicable import needs
from kfunctest.tolerances import (
    WORKER_PAGES,
    plenty,
    settled_slack,
    stock,
    usage_slack,
)
from selftests.swapping import swap_disk
from selftests.usage_sum import COMPACT, judge_sum

pytestmark = [
    pytest.mark.kfunc(name="usage"),
    pytest.mark.slow_boot,
    pytest.mark.destructive("compacts all memory of the machine"),
]

#: What a worker makes, and how it gives it back; the arguments are numbers of bytes, pages or things.
KINDS = {
    "anonymous memory": (("charge_anon", 4 * MiB), "release_anon"),
    "shared memory": (("charge_shmem", 4 * MiB), "release_shmem"),
    "huge pages": (("charge_huge", 2), "release_areas"),
    "page tables": (("charge_page_tables", 64), "release_areas"),
    "objects of the slab": (("open_files", 2000), "close_files"),
    "sockets": (("send_unread", MiB), "close_sockets"),
}

#: Bytes that are left between holes, which are as large together.
SCATTERED = 8 * MiB
#: How often as much is made until the kernel moved enough of it.
ROUNDS = 8
#: Bytes that go to swap and come back.
SWAPPED = 4 * MiB


@pytest.mark.kfunc(name="page_state")
@pytest.mark.parametrize("kind", KINDS)
def test_usage_is_the_sum_of_what_is_charged(
    vm: Vm, kernel: Kernel, memcg: Memcg, kfuncs: Kfuncs, items: Items, kind: str
) -> None:
    """Exactly, while a worker has it and when it has given it back: no page is charged twice, or forgotten."""
    (make, number), give_back = KINDS[kind]
    memcg.start()
    before = kfuncs.usage(memcg)
    memcg.do(make, number)
    grown = kfuncs.usage(memcg) - before
    assert grown >= 64 * vm.page_size, f"usage of {memcg.path}: expected {kind} to take 64 pages or more, seen {grown}"
    judge_sum(vm, kernel, kfuncs, memcg, items, f"with {kind}", memcg)
    memcg.do(give_back)
    judge_sum(vm, kernel, kfuncs, memcg, items, f"after {kind}", memcg)


@pytest.mark.kfunc(name="page_state")
def test_usage_is_the_sum_of_what_is_charged_below(
    vm: Vm, kernel: Kernel, memcg: Memcg, kfuncs: Kfuncs, items: Items
) -> None:
    """In the memcg above, whose shortage makes the CPUs give back what they keep for those below."""
    leaf, other = memcg.child("leaf"), memcg.child("other")
    leaf.charge_anon(plenty(vm.cpus, vm.page_size))
    other.fork_children(8)
    judge_sum(vm, kernel, kfuncs, memcg, items, "with processes below it", leaf)
    other.kill()
    judge_sum(vm, kernel, kfuncs, memcg, items, "after some processes below it ended", leaf)


@pytest.mark.kfunc(name="memory_events")
def test_a_limit_above_is_told_where_it_was_hit(contract: Contract, memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    """memory.max of the parent: max and oom are events of its own, the kill is one of the leaf and of all above it."""
    needs(MEMORY_EVENTS in contract.kfuncs, f"contract {contract.name} has no {MEMORY_EVENTS}")
    leaf, other = memcg.child("leaf"), memcg.child("other")
    names = ("MEMCG_MAX", "MEMCG_OOM", "MEMCG_OOM_KILL")
    calls = [Call("MEMORY_EVENTS", getattr(items, name)) for name in names]
    leaf.start()
    memcg.write("memory.max", str(memcg.current() + MiB))
    death = leaf.oom(4 * MiB)
    assert "by signal 9" in death, f"the worker in {leaf.path}: expected SIGKILL, seen {death}"
    above, own, beside = (dict(zip(names, kfuncs.batch(group, calls), strict=True)) for group in (memcg, leaf, other))
    assert own == {"MEMCG_MAX": 0, "MEMCG_OOM": 0, "MEMCG_OOM_KILL": 1}, (
        f"events of {leaf.path}, killed for the limit of {memcg.path}: expected the kill alone, seen {own}"
    )
    assert above["MEMCG_MAX"] >= 1, f"MEMCG_MAX of {memcg.path}, whose memory.max was hit: seen {above}"
    assert (above["MEMCG_OOM"], above["MEMCG_OOM_KILL"]) == (1, 1), (
        f"events of {memcg.path}, whose memory.max was hit: expected one OOM and one kill, seen {above}"
    )
    assert not any(beside.values()), f"events of {other.path}, where nothing happened: expected 0 each, seen {beside}"


@pytest.mark.kfunc(name="memory_events")
def test_a_high_limit_above_is_told_where_it_is(
    vm: Vm, contract: Contract, memcg: Memcg, kfuncs: Kfuncs, items: Items
) -> None:
    """memory.high of the parent, exceeded by what a leaf charges: an event of the parent and not of the leaf.

    Little above much: the kernel lets the leaf's task sleep by the square of how far it is above.
    """
    needs(MEMORY_EVENTS in contract.kfuncs, f"contract {contract.name} has no {MEMORY_EVENTS}")
    leaf = memcg.child().child("leaf")
    leaf.start()
    size = 4 * plenty(vm.cpus, vm.page_size)
    memcg.write("memory.high", str(memcg.current() + size))
    leaf.charge_anon(size + 2 * stock(vm.cpus, vm.page_size))
    seen = {group.path: kfuncs.memory_events(group, items.MEMCG_HIGH) for group in (memcg, leaf)}
    assert seen[memcg.path] >= 1, f"MEMCG_HIGH of {memcg.path}, whose memory.high was exceeded: 1 or more, seen {seen}"
    assert seen[leaf.path] == 0, f"MEMCG_HIGH of {leaf.path}, which has no limit: expected 0, seen {seen}"


@pytest.mark.kfunc(name="page_state")
def test_a_charge_that_was_refused_is_not_in_usage(
    vm: Vm, kernel: Kernel, memcg: Memcg, kfuncs: Kfuncs, items: Items
) -> None:
    """The parent's limit refused it, the leaf's counter had taken it already: it is the sum of its items again."""
    leaf = memcg.child("leaf")
    leaf.start()
    limit = memcg.current() + MiB
    memcg.write("memory.max", str(limit))
    leaf.oom(4 * MiB)
    memcg.write("memory.max", "max")
    most = int(memcg.read("memory.peak"))
    assert most >= limit, f"memory.peak of {memcg.path}: expected its limit, {limit} bytes, to the page, seen {most}"
    judge_sum(vm, kernel, kfuncs, leaf, items, f"after charges that {memcg.path} refused", leaf)


@pytest.mark.kfunc(name="page_state")
def test_pages_that_the_kernel_moves_stay_charged(
    vm: Vm, kernel: Kernel, memcg: Memcg, kfuncs: Kfuncs, items: Items
) -> None:
    """Memory full of holes is moved together, as far as there is better room for it: the item stays as it was, falls
    when the memory is given back, and usage is the sum of what is charged.
    """
    needs(kernel.option("CONFIG_COMPACTION") == "y", "CONFIG_COMPACTION is not set")
    item, slack = items.call("NR_ANON_MAPPED"), settled_slack(vm.page_size)

    def anon() -> int:
        return kfuncs.settled(memcg, item)[0]

    memcg.start()
    start, start_moved = anon(), moved_pages(vm)
    left, enough = 0, 3 * slack // vm.page_size
    for _ in range(ROUNDS):
        memcg.do("charge_written", 2 * SCATTERED)
        left = memcg.do("make_holes")
        vm.call(cgroup.write_file, COMPACT, "1")
        if moved_pages(vm) - start_moved >= enough:
            break
    moved = moved_pages(vm) - start_moved
    needs(moved >= enough, f"of {left} bytes between holes the kernel moved {moved} pages")
    grown = anon() - start
    assert abs(grown - left) <= slack, (
        f"NR_ANON_MAPPED of {memcg.path}, bytes, {moved} pages moved: expected {left} +- {slack} more, seen {grown}"
    )
    judge_sum(vm, kernel, kfuncs, memcg, items, f"after {moved} pages were moved", memcg)
    memcg.do("release_areas")
    kept = anon() - start
    assert abs(kept) <= slack, (
        f"NR_ANON_MAPPED of {memcg.path}, bytes, {moved} pages moved, all released: expected 0 +- {slack}, seen {kept}"
    )
    judge_sum(vm, kernel, kfuncs, memcg, items, f"after {moved} pages were moved and released", memcg)


def moved_pages(vm: Vm) -> int:
    """Pages that the kernel moved since it booted."""
    return vm.call(agent.read_numbers, "/proc/vmstat")["pgmigrate_success"]


@pytest.mark.kfunc(name="memory_events")
def test_a_group_that_is_killed_whole_is_told_where_it_begins(
    contract: Contract, memcg: Memcg, kfuncs: Kfuncs, items: Items
) -> None:
    """memory.oom.group of the parent: the kill of the group is its event, that of each process one of its own memcg."""
    needs(MEMORY_EVENTS in contract.kfuncs, f"contract {contract.name} has no {MEMORY_EVENTS}")
    leaf, other = memcg.child("leaf"), memcg.child("other")
    calls = [Call("MEMORY_EVENTS", items.MEMCG_OOM_GROUP_KILL), Call("MEMORY_EVENTS", items.MEMCG_OOM_KILL)]
    for each in (leaf, other):
        each.start()
    memcg.write("memory.oom.group", "1")
    memcg.write("memory.max", str(memcg.current() + MiB))
    leaf.oom(4 * MiB)
    (groups, kills), own, beside = (kfuncs.batch(group, calls) for group in (memcg, leaf, other))
    assert (groups, own[0], beside[0]) == (1, 0, 0), (
        f"MEMCG_OOM_GROUP_KILL of {memcg.path}, killed whole, and of those below it: expected 1, 0 and 0, seen "
        f"{groups}, {own[0]}, {beside[0]}"
    )
    # Of the first victim perhaps two, since the killer comes by there again (oom_kill_process(), mm/oom_kill.c).
    assert 1 <= own[1] <= 2, f"MEMCG_OOM_KILL of {leaf.path}, where one process was: expected 1 or 2, seen {own[1]}"
    assert 1 <= beside[1] <= 2, f"MEMCG_OOM_KILL of {other.path}, where one was: expected 1 or 2, seen {beside[1]}"
    assert kills == own[1] + beside[1], (
        f"MEMCG_OOM_KILL of {memcg.path}: expected those of its children, {own[1]} and {beside[1]}, seen {kills}"
    )


@pytest.mark.destructive("changes what the machine swaps to")
def test_what_comes_back_is_charged_to_whom_it_was(vm: Vm, kernel: Kernel, memcg: Memcg, kfuncs: Kfuncs) -> None:
    """Not to the memcg in which the process lives now that reads them."""
    first, second = memcg.child("first"), memcg.child("second")
    second.start()
    worker = first.do("ping")
    with swap_disk(vm, kernel, 2 * SWAPPED):
        first.do("charge_written", SWAPPED)
        first.do("page_out")
        second.write("cgroup.procs", str(worker))
        try:
            before = [kfuncs.usage(group) for group in (first, second)]
            first.do("read_areas")
            grown = [kfuncs.usage(group) - then for group, then in zip((first, second), before, strict=True)]
        finally:
            first.write("cgroup.procs", str(worker))
    slack = usage_slack(vm.cpus, vm.page_size)
    assert grown[0] >= SWAPPED // 2, (
        f"usage of {first.path}, bytes: {SWAPPED} came back from swap, expected half of it or more, seen {grown[0]}"
    )
    assert grown[1] <= slack, (
        f"usage of {second.path}, bytes, where who reads them is now: expected up to {slack}, seen {grown[1]}"
    )


@pytest.mark.kfunc(name="page_state")
@pytest.mark.kfunc(name="vm_events")
def test_memory_is_charged_to_whom_it_is_and_not_to_who_touches_it(
    vm: Vm, memcg: Memcg, kfuncs: Kfuncs, items: Items
) -> None:
    """As a debugger does: a process writes to memory of another one, in another memcg, that nobody touched before. The
    pages and the faults belong to whose memory it is.
    """
    owner, writer = memcg.child("owner"), memcg.child("writer")
    size = 2 * plenty(vm.cpus, vm.page_size)
    pid, address = owner.do("ping"), owner.do("reserve", size)
    writer.start()
    before = [charged(kfuncs, group, items) for group in (owner, writer)]
    pages = writer.do("write_memory_of", pid, address, size)
    after = [charged(kfuncs, group, items) for group in (owner, writer)]
    slack = usage_slack(vm.cpus, vm.page_size)
    for group, then, now, made in zip((owner, writer), before, after, (size, 0), strict=True):
        usage, anon, faults = (late - early for early, late in zip(then[:3], now[:3], strict=True))
        seen = f"{size} bytes of {owner.path}, {pages} pages, were touched by {writer.path}: "
        for name, grown in (("usage", usage), ("NR_ANON_MAPPED", anon)):
            assert abs(grown - made) <= slack, (
                f"{seen}{name} of {group.path}, bytes: expected {made} +- {slack} more, seen {grown}"
            )
        least = made // vm.page_size + now[3]
        assert least <= faults <= least + WORKER_PAGES, (
            f"{seen}PGFAULT of {group.path}, a count: expected {least} to {least + WORKER_PAGES} more, seen {faults}"
        )


def charged(kfuncs: Kfuncs, memcg: Memcg, items: Items) -> list[int]:
    """Usage, anonymous memory, faults, after a flush of all that was done before; and how many faults that took."""
    stirred = kfuncs.stirred
    values = kfuncs.settled(memcg, Call("USAGE"), items.call("NR_ANON_MAPPED"), items.call("PGFAULT"))
    return [*values, kfuncs.stirred - stirred]
