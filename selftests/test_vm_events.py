# SPDX-License-Identifier: GPL-2.0-only
"""bpf_mem_cgroup_vm_events(): one event of vm_event_item, counted over the subtree, as of the last flush."""

from __future__ import annotations

import pytest

from conftest import Items
from kfunctest.contract import Contract
from kfunctest.guest import agent
from kfunctest.measure import WORKER_PAGES, Sandwich, flush_lag, sandwich, surely_flushed
from kfunctest.plugin.applicable import needs
from kfunctest.statkeys import through_vm_events
from kfunctest.target.kernel_log import CLEAR_WARN_ONCE, logged
from kfunctest.target.kfuncs import INT_MAX, INT_MIN, ULONG_MAX, Call, Kfuncs
from kfunctest.target.memcg import Memcg
from kfunctest.target.vm import Vm

pytestmark = pytest.mark.kfunc(name="vm_events")

UNTRACKED = ("PGFREE", "OOM_KILL", "PGREUSE")


def flushed(kfuncs: Kfuncs, memcg: Memcg, event: int) -> int:
    """The event after a flush, in one run of the program."""
    return kfuncs.flushed(memcg, Call("VM_EVENTS", event))[0]


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
    names = through_vm_events(items.enum("vm_event_item"))
    reads = [Call("VM_EVENTS", getattr(items, name)) for name in names.values()]
    before = kfuncs.flushed(memcg, *reads)
    stat = memcg.stat()
    after = kfuncs.batch(memcg, reads)
    compared = 0
    for (key, name), first, second in zip(names.items(), before, after, strict=True):
        if key not in stat:
            continue
        compared += 1
        value = Sandwich(first, stat[key], second)
        assert value, f"{key} ({name}) of {memcg.path}, memory.stat against vm_events, a count: {value}"
    assert compared >= 6, f"only {compared} keys of memory.stat were compared: {sorted(stat)}"
    least = 3 * surely_flushed(vm.cpus)
    assert stat["pgfault"] >= least, f"pgfault of {memcg.path}: expected {least} or more, seen {stat['pgfault']}"


def test_vm_events_of_a_parent_count_its_children(vm: Vm, memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    leaf, idle = memcg.child("busy"), memcg.child("idle")
    burst = 4 * surely_flushed(vm.cpus)
    leaf.fault(burst)
    value = sandwich(lambda: flushed(kfuncs, memcg, items.PGFAULT), lambda: kfuncs.vm_events(leaf, items.PGFAULT))
    assert value, f"PGFAULT of {leaf.path}, against that of its parent {memcg.path}: {value}"
    least = burst - flush_lag(vm.cpus)
    assert value.seen >= least, f"PGFAULT of {leaf.path}: expected {least} faults or more, seen {value.seen}"
    seen = kfuncs.vm_events(idle, items.PGFAULT)
    assert seen == 0, f"PGFAULT of {idle.path}: expected 0, seen {seen}; its sibling took the faults"


def test_vm_events_of_an_index_outside_the_enum_are_minus_one(
    vm: Vm, contract: Contract, memcg: Memcg, kfuncs: Kfuncs, items: Items
) -> None:
    needs(contract.vm_events_checked, f"contract {contract.name} checks no range: the read is out of bounds")
    outside = [-1, items.NR_VM_EVENT_ITEMS, items.NR_VM_EVENT_ITEMS + 1, INT_MIN, INT_MAX]
    seen, log = logged(vm, lambda: kfuncs.batch(memcg, [Call("VM_EVENTS", index) for index in outside]))
    found = dict(zip(outside, seen, strict=True))
    assert found == dict.fromkeys(outside, ULONG_MAX), (
        f"events out of range, of {memcg.path}: expected {ULONG_MAX:#x} for each index, seen {found}"
    )
    assert "missing stat item" not in log, f"events out of range: expected no warning, the kernel logged:\n{log}"


def test_vm_events_that_memcg_does_not_track(
    vm: Vm, contract: Contract, memcg: Memcg, kfuncs: Kfuncs, items: Items
) -> None:
    """As merged: -1, and no warning. As posted: 0, and the first one a warning."""
    if not contract.untracked_is_minus_one:
        vm.call(agent.write_text, CLEAR_WARN_ONCE, "1")
    calls = [Call("VM_EVENTS", getattr(items, name)) for name in UNTRACKED]
    seen, log = logged(vm, lambda: kfuncs.batch(memcg, calls))
    found = dict(zip(UNTRACKED, seen, strict=True))
    expected = dict.fromkeys(UNTRACKED, ULONG_MAX if contract.untracked_is_minus_one else 0)
    assert found == expected, f"events that memcg does not track, of {memcg.path}: expected {expected}, seen {found}"
    warnings = 0 if contract.untracked_is_minus_one else 1
    assert log.count("missing stat item") == warnings, f"expected {warnings} warnings, the kernel logged:\n{log}"
