# SPDX-License-Identifier: GPL-2.0-only
"""bpf_mem_cgroup_memory_events(): what memory.events counts, live: limits hit, OOMs, kills."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from conftest import Items
from kfunctest.contract import MEMORY_EVENTS as KFUNC
from kfunctest.contract import Contract
from kfunctest.guest import disks
from kfunctest.kernels.model import Kernel
from kfunctest.machine.kfuncs import INT_MAX, INT_MIN, ULONG_MAX, Call, Kfuncs
from kfunctest.machine.memcg import Memcg, MiB
from kfunctest.machine.vm import Vm
from kfunctest.plugin.applicable import needs
from kfunctest.statkeys import MEMORY_EVENTS
from kfunctest.tolerances import plenty, stock

pytestmark = pytest.mark.kfunc(name="memory_events")


@pytest.fixture(autouse=True)
def promised(contract: Contract) -> None:
    """The revision as posted has no such kfunc; one that promises it must have it."""
    needs(KFUNC in contract.kfuncs, f"contract {contract.name} has no {KFUNC}")


def test_memory_events_are_zero_in_a_new_memcg(memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    events = items.enum("memcg_memory_event")
    del events["MEMCG_NR_MEMORY_EVENTS"]
    seen = kfuncs.batch(memcg, [Call("MEMORY_EVENTS", index) for index in events.values()])
    found = dict(zip(events, seen, strict=True))
    assert found == dict.fromkeys(events, 0), f"events of the new {memcg.path}: expected 0 of each, seen {found}"


def judge(memcg: Memcg, kfuncs: Kfuncs, items: Items) -> dict[str, int]:
    """Every event that memory.events has and we know must be what the kfunc says. Returns them by key."""
    events = {key: count for key, count in memcg.events().items() if key in MEMORY_EVENTS}
    calls = [Call("MEMORY_EVENTS", getattr(items, MEMORY_EVENTS[key])) for key in events]
    seen = dict(zip(events, kfuncs.batch(memcg, calls), strict=True))
    assert seen == events, f"events of {memcg.path}, counts: expected those of memory.events, {events}, seen {seen}"
    return seen


def test_memory_events_have_a_key_in_a_file_for_each(memcg: Memcg, items: Items) -> None:
    """The ground that the comparisons stand on. An event that kfunctest/statkeys.py lacks may have a key."""
    expected = {key for key, name in MEMORY_EVENTS.items() if name in items.enum("memcg_memory_event")}
    seen = memcg.events().keys()
    new = items.unknown("memcg_memory_event")
    assert expected <= seen and len(seen - expected) <= len(new), (  # noqa: PT018 (one message, of both)
        f"keys of memory.events of {memcg.path}: expected {sorted(expected)}, and one at most for each of "
        f"{sorted(new)}, seen {sorted(seen)}"
    )


def test_memory_events_after_an_oom_kill(memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    """A worker without swap that outgrows memory.max is killed, once; each event equals memory.events, exactly."""
    memcg.start()
    memcg.write("memory.max", str(3 * MiB))
    death = memcg.oom(6 * MiB)
    assert "by signal 9 during charge_anon" in death, f"the worker in {memcg.path}: expected SIGKILL, seen {death}"
    seen = judge(memcg, kfuncs, items)
    assert (seen["oom"], seen["oom_kill"]) == (1, 1), (
        f"{memcg.path} ran out of memory once, and one worker was killed: expected oom 1 and oom_kill 1, seen {seen}"
    )
    assert seen["max"] >= 1, f"memory.max of {memcg.path} was hit before the kill: expected max 1 or more, seen {seen}"


@pytest.mark.slow_boot
def test_memory_events_count_the_high_limit(vm: Vm, memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    """By a task that goes little above much: the kernel lets it sleep by the square of the ratio.

    What its CPU has in stock is used up first, and was in memory.current already.
    """
    memcg.pin(0)
    memcg.charge_anon(4 * plenty(vm.cpus, vm.page_size))
    memcg.write("memory.high", memcg.read("memory.current"))
    memcg.charge_anon(stock(1, vm.page_size) + vm.page_size)
    seen, expected = kfuncs.memory_events(memcg, items.MEMCG_HIGH), memcg.events()["high"]
    assert seen == expected >= 1, f"high of {memcg.path}: memory.events says {expected}, the kfunc {seen}"


@pytest.mark.slow_boot
def test_memory_events_count_a_kill_of_the_whole_group(memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    """memory.oom.group: one kill of the group, and one of each process; of the first perhaps another one, since the
    killer comes by there again (oom_kill_process(), mm/oom_kill.c).
    """
    memcg.fork_children(2)
    memcg.write("memory.oom.group", "1")
    memcg.write("memory.max", str(memcg.current() + MiB))
    memcg.oom(4 * MiB)
    seen = judge(memcg, kfuncs, items)
    assert seen["oom_group_kill"] == 1, (
        f"oom_group_kill of {memcg.path}, which was killed whole: expected 1, seen {seen}"
    )
    assert 3 <= seen["oom_kill"] <= 4, f"oom_kill of {memcg.path}, a worker and its 2 children: 3 or 4, seen {seen}"


@pytest.mark.slow_boot
def test_memory_events_count_protection_that_did_not_hold(
    kernel: Kernel, memcg: Memcg, kfuncs: Kfuncs, items: Items
) -> None:
    """memory.low protects while there is something else to reclaim; here there is nothing else."""
    child = memcg.child()
    child.map_file(kernel.image, MiB)
    child.write("memory.low", "max")
    memcg.reclaim(MiB // 2)
    seen = judge(child, kfuncs, items)
    assert seen["low"] >= 1, f"low of {child.path}, reclaimed from in spite of memory.low: expected 1 or more, {seen}"


@pytest.fixture
def local_events(vm: Vm) -> Iterator[None]:
    """cgroup2 mounted with memory_localevents."""
    vm.call(disks.remount_cgroups, "memory_localevents")
    yield
    if not vm.lost:
        vm.call(disks.remount_cgroups, "")


@pytest.mark.slow_boot
@pytest.mark.destructive("mounts cgroup2 with another option")
def test_memory_events_are_local_where_the_mount_says_so(
    local_events: None, memcg: Memcg, kfuncs: Kfuncs, items: Items
) -> None:
    child = memcg.child()
    child.start()
    child.write("memory.max", str(3 * MiB))
    child.oom(6 * MiB)
    own, above = judge(child, kfuncs, items), judge(memcg, kfuncs, items)
    assert own["oom_kill"] == 1, f"oom_kill of {child.path}, where a worker was killed: expected 1, seen {own}"
    assert not any(above.values()), f"events of {memcg.path}, which are its child's: expected 0 of each, seen {above}"


def test_memory_events_of_a_child_show_in_its_parent(memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    child, sibling = memcg.child(), memcg.child("sibling")
    child.start()
    child.write("memory.max", str(3 * MiB))
    child.oom(6 * MiB)
    seen = {group.path: kfuncs.memory_events(group, items.MEMCG_OOM_KILL) for group in (child, memcg, sibling)}
    expected = {child.path: 1, memcg.path: 1, sibling.path: 0}
    assert seen == expected, f"MEMCG_OOM_KILL, counts by memcg: expected {expected}, seen {seen}"


@pytest.mark.destructive("reads out of bounds on a kernel that does not check")
def test_memory_events_of_an_index_outside_the_enum_are_minus_one(memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    bound = items.MEMCG_NR_MEMORY_EVENTS
    outside = [-1, bound, bound + 1, INT_MIN, INT_MAX]
    seen = kfuncs.batch(memcg, [Call("MEMORY_EVENTS", index) for index in outside])
    found = dict(zip(outside, seen, strict=True))
    assert found == dict.fromkeys(outside, ULONG_MAX), (
        f"events out of range, of {memcg.path}: expected {ULONG_MAX:#x} for each index, seen {found}"
    )


def test_memory_events_take_the_last_index(memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    seen = kfuncs.memory_events(memcg, items.MEMCG_NR_MEMORY_EVENTS - 1)
    assert seen == 0, f"the last event of the new {memcg.path}: expected 0, seen {seen:#x}"
