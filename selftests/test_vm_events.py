# SPDX-License-Identifier: GPL-2.0-only
"""bpf_mem_cgroup_vm_events(): one event of vm_event_item, counted over the subtree, as of the last flush."""

from __future__ import annotations

import pytest

from conftest import Items
from kfunctest.contract import Contract
from kfunctest.kernels.model import Kernel
from kfunctest.machine.kernel_log import logged
from kfunctest.machine.kfuncs import INT_MAX, INT_MIN, PENDING, ULONG_MAX, Call, Kfuncs
from kfunctest.machine.memcg import Memcg, MiB
from kfunctest.machine.vm import Vm
from kfunctest.plugin.applicable import needs
from kfunctest.plugin.targets import spare
from kfunctest.statitems import tracked
from kfunctest.statkeys import VM_EVENTS, printed, through_vm_events
from kfunctest.tolerances import WORKER_PAGES, Sandwich, sandwich, surely_flushed, threshold
from selftests.swapping import swap_disk

pytestmark = pytest.mark.kfunc(name="vm_events")

#: The kernel's own flusher, which runs every 2 s, may strike in a round; not in each of so many.
ROUNDS = 5

UNTRACKED = ("PGFREE", "OOM_KILL", "PGREUSE")


def flushed(kfuncs: Kfuncs, memcg: Memcg, event: int) -> int:
    """The event after a flush, in one run of the program."""
    return kfuncs.flushed(memcg, Call("VM_EVENTS", event))[0]


def settled(kfuncs: Kfuncs, memcg: Memcg, event: int) -> int:
    """The event after a flush of all that was done before."""
    return kfuncs.settled(memcg, Call("VM_EVENTS", event))[0]


def test_vm_events_count_the_faults_taken(vm: Vm, memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    """Those of a burst, those that make the flush certain which follows it, and the worker's own."""
    burst = 4 * surely_flushed(vm.cpus)
    memcg.start()
    stirred = kfuncs.stirred
    before, stirred = settled(kfuncs, memcg, items.PGFAULT), kfuncs.stirred - stirred
    assert before >= stirred, f"PGFAULT of {memcg.path}, a count: expected {stirred} or more, seen {before}"
    stirred = kfuncs.stirred
    memcg.fault(burst)
    counted = settled(kfuncs, memcg, items.PGFAULT) - before
    least = burst + kfuncs.stirred - stirred
    assert least <= counted <= least + WORKER_PAGES, (
        f"PGFAULT of {memcg.path}, a count: expected {least} to {least + WORKER_PAGES} more, seen {counted}"
    )


def test_vm_events_that_nothing_else_goes_with_make_a_flush_needed(vm: Vm, memcg: Memcg, kfuncs: Kfuncs) -> None:
    """Each counts as one update, as pages do: faults on shared memory that another mapping holds."""
    pages = surely_flushed(vm.cpus)
    memcg.do("map_twice", pages)
    most = 0
    for _ in range(ROUNDS):
        kfuncs.settled(memcg)
        memcg.do("fault_by_second_mapping")
        most = max(most, kfuncs.batch(memcg, [PENDING])[0])
        if most > threshold(vm.cpus):
            return
    pytest.fail(
        f"updates of {memcg.path} pending after {pages} faults and no other: expected more than {threshold(vm.cpus)} "
        f"in one of {ROUNDS} rounds, seen {most} at most",
        pytrace=False,
    )


def test_vm_events_agree_with_memory_stat(vm: Vm, memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    names = printed(through_vm_events(items.enum("vm_event_item")), memcg.stat())
    assert len(names) >= 6, f"only {len(names)} keys of memory.stat can be compared: {names}"
    memcg.fault(4 * surely_flushed(vm.cpus))
    reads = [items.call(name) for name in names.values()]
    before = kfuncs.settled(memcg, *reads)
    stat = memcg.stat()
    after = kfuncs.batch(memcg, reads)
    for (key, name), first, second in zip(names.items(), before, after, strict=True):
        value = Sandwich(first, stat[key], second)
        assert value, f"{key} ({name}) of {memcg.path}, memory.stat against vm_events, a count: {value}"
    least = 3 * surely_flushed(vm.cpus)
    assert stat["pgfault"] >= least, f"pgfault of {memcg.path}: expected {least} or more, seen {stat['pgfault']}"


def test_vm_events_of_a_parent_count_its_children(vm: Vm, memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    leaf, idle = memcg.child("busy"), memcg.child("idle")
    burst = 4 * surely_flushed(vm.cpus)
    leaf.fault(burst)
    kfuncs.settled(memcg, busy=leaf)
    value = sandwich(lambda: flushed(kfuncs, memcg, items.PGFAULT), lambda: kfuncs.vm_events(leaf, items.PGFAULT))
    assert value, f"PGFAULT of {leaf.path}, against that of its parent {memcg.path}: {value}"
    assert value.seen >= burst, f"PGFAULT of {leaf.path}: expected {burst} faults or more, seen {value.seen}"
    seen = kfuncs.vm_events(idle, items.PGFAULT)
    assert seen == 0, f"PGFAULT of {idle.path}: expected 0, seen {seen}; its sibling took the faults"


@pytest.mark.slow_boot
@pytest.mark.destructive("changes what the machine swaps to")
@pytest.mark.parametrize("shared", [False, True], ids=["private", "shared"])
def test_faults_that_read_from_swap_are_major(
    vm: Vm, kernel: Kernel, memcg: Memcg, kfuncs: Kfuncs, items: Items, shared: bool
) -> None:
    """As many as the process's own statistics say, on private memory and on shared."""
    size = 4 * MiB
    with swap_disk(vm, kernel, 2 * size):
        memcg.do("charge_written", size, shared)
        memcg.do("page_out")
        before = settled(kfuncs, memcg, items.PGMAJFAULT)
        taken = memcg.do("read_areas_from_disk")
        seen = settled(kfuncs, memcg, items.PGMAJFAULT) - before
        memcg.do("release_areas")
    # One fault reads a few pages ahead: 2 to the power of vm.page-cluster, which is 3 where nobody set it.
    least = size // vm.page_size // 16
    assert taken >= least, f"{size} bytes of {memcg.path} in swap: expected {least} major faults or more, seen {taken}"
    # Beside them, what the worker reads of its own code for the first time.
    assert taken <= seen <= taken + WORKER_PAGES, (
        f"PGMAJFAULT of {memcg.path}: expected {taken}, which were taken, or few more; seen {seen}"
    )


@pytest.mark.destructive("reads out of bounds on a kernel that does not check")
def test_vm_events_of_an_index_outside_the_enum_are_minus_one(
    vm: Vm, contract: Contract, memcg: Memcg, kfuncs: Kfuncs, items: Items
) -> None:
    """One by one, the nearest first: a kernel that does not check fails at it, and is not driven further out."""
    needs(contract.vm_events_checked, f"contract {contract.name} checks no range: the read is out of bounds")
    bound = items.NR_VM_EVENT_ITEMS
    for index in (bound, bound + 1, -1, INT_MIN, INT_MAX):
        seen, log = logged(vm, lambda index=index: kfuncs.vm_events(memcg, index))  # type: ignore[misc]
        assert seen == ULONG_MAX, (
            f"event {index} of {memcg.path}, where {bound - 1} is the last: expected {ULONG_MAX:#x}, seen {seen:#x}"
        )
        assert "missing stat item" not in log, f"event {index}: expected no warning, the kernel logged:\n{log}"


def test_vm_events_that_memcg_does_not_track(
    request: pytest.FixtureRequest,
    vm: Vm,
    kernel: Kernel,
    contract: Contract,
    memcg: Memcg,
    kfuncs: Kfuncs,
    items: Items,
) -> None:
    """As merged: -1, and no warning. As posted: 0, and the first one a warning.

    Not tracked is also what other kernels have in memory.stat, and this one by its release and options has not: pswpin
    in 6.12, for one. What this one prints there does not tell, since a kernel may have lost it.
    """
    events = items.enum("vm_event_item")
    states = items.enum("node_stat_item").keys() | items.enum("memcg_stat_item").keys()
    known = tracked(states, events, lambda option: kernel.option(option) == "y").events
    untracked = [*UNTRACKED, *(name for name in VM_EVENTS.values() if name in events and name not in known)]
    if not contract.untracked_is_minus_one:
        spare(request.node, "a warning")
        request.applymarker(pytest.mark.expect_splat("warn", match="missing stat item"))
    seen, log = logged(vm, lambda: kfuncs.batch(memcg, [Call("VM_EVENTS", events[name]) for name in untracked]))
    found = dict(zip(untracked, seen, strict=True))
    expected = dict.fromkeys(untracked, ULONG_MAX if contract.untracked_is_minus_one else 0)
    assert found == expected, f"events that memcg does not track, of {memcg.path}: expected {expected}, seen {found}"
    warnings = 0 if contract.untracked_is_minus_one else 1
    assert log.count("missing stat item") == warnings, f"expected {warnings} warnings, the kernel logged:\n{log}"
