# SPDX-License-Identifier: GPL-2.0-only
"""bpf_mem_cgroup_vm_events(): one event of vm_event_item, counted over the subtree, as of the last flush."""

from __future__ import annotations

import pytest

from conftest import Items
from kfunctest.contract import Contract
from kfunctest.measure import WORKER_PAGES, Sandwich, flush_lag, sandwich, surely_flushed
from kfunctest.plugin.applicable import needs
from kfunctest.statkeys import VM_EVENTS
from kfunctest.target.kfuncs import ULONG_MAX, Call, Kfuncs
from kfunctest.target.memcg import Memcg
from kfunctest.target.vm import Vm

pytestmark = pytest.mark.kfunc(name="vm_events")

INT_MIN, INT_MAX = -(1 << 31), (1 << 31) - 1


def flushed(kfuncs: Kfuncs, memcg: Memcg, event: int) -> int:
    """The event after a flush, in one run of the program."""
    return kfuncs.batch(memcg, [Call("FLUSH_STATS"), Call("VM_EVENTS", event)])[1]


def test_vm_events_count_the_faults_taken(vm: Vm, memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    """Each burst is far more than what a flush may leave pending."""
    burst = 4 * surely_flushed(vm.cpus)
    memcg.fault(burst)
    before = flushed(kfuncs, memcg, items.PGFAULT)
    lag = flush_lag(vm.cpus)
    assert before >= burst - lag, f"PGFAULT of {memcg.path}: expected at least {burst - lag} faults, seen {before}"
    memcg.fault(burst)
    counted = flushed(kfuncs, memcg, items.PGFAULT) - before
    least, most = burst - lag, burst + lag + WORKER_PAGES
    assert least <= counted <= most, f"PGFAULT of {memcg.path} rose by {counted}, expected {least} to {most}"


def test_vm_events_agree_with_memory_stat(vm: Vm, memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    memcg.fault(4 * surely_flushed(vm.cpus))
    reads = [Call("VM_EVENTS", getattr(items, name)) for name in VM_EVENTS.values()]
    before = kfuncs.batch(memcg, [Call("FLUSH_STATS"), *reads])[1:]
    stat = memcg.stat()
    after = kfuncs.batch(memcg, reads)
    for (key, name), first, second in zip(VM_EVENTS.items(), before, after, strict=True):
        value = Sandwich(first, stat[key], second)
        assert value, f"{key} ({name}) of {memcg.path}, memory.stat against vm_events, a count: {value}"
    assert stat["pgfault"] > surely_flushed(vm.cpus), "the comparison above must not have been one of zeros"


def test_vm_events_of_a_parent_count_its_children(vm: Vm, memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    leaf, idle = memcg.child("busy"), memcg.child("idle")
    burst = 4 * surely_flushed(vm.cpus)
    leaf.fault(burst)
    value = sandwich(lambda: flushed(kfuncs, memcg, items.PGFAULT), lambda: kfuncs.vm_events(leaf, items.PGFAULT))
    assert value, f"PGFAULT of {leaf.path}, against that of its parent {memcg.path}: {value}"
    least = burst - flush_lag(vm.cpus)
    assert value.seen >= least, f"PGFAULT of {leaf.path}: expected {least} faults or more, seen {value.seen}"
    assert kfuncs.vm_events(idle, items.PGFAULT) == 0, "its sibling took the faults"


def test_vm_events_of_an_index_outside_the_enum_are_minus_one(
    contract: Contract, memcg: Memcg, kfuncs: Kfuncs, items: Items
) -> None:
    needs(contract.vm_events_checked, f"contract {contract.name} checks no range: the read is out of bounds")
    outside = [-1, items.NR_VM_EVENT_ITEMS, items.NR_VM_EVENT_ITEMS + 1, INT_MIN, INT_MAX]
    seen = kfuncs.batch(memcg, [Call("VM_EVENTS", index) for index in outside])
    assert dict(zip(outside, seen, strict=True)) == dict.fromkeys(outside, ULONG_MAX)


@pytest.mark.parametrize("name", ["PGFREE", "OOM_KILL", "PGREUSE"])
def test_vm_events_of_an_event_that_memcg_does_not_track(
    contract: Contract, memcg: Memcg, kfuncs: Kfuncs, items: Items, name: str
) -> None:
    expected = ULONG_MAX if contract.untracked_is_minus_one else 0
    seen = kfuncs.vm_events(memcg, getattr(items, name))
    assert seen == expected, f"{name} of {memcg.path}: expected {expected:#x}, seen {seen:#x}"
