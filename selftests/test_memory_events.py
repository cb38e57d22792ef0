# SPDX-License-Identifier: GPL-2.0-only
"""bpf_mem_cgroup_memory_events(): what memory.events counts, live: limits hit, OOMs, kills."""

from __future__ import annotations

import pytest

from conftest import Items
from kfunctest.contract import MEMORY_EVENTS as KFUNC
from kfunctest.contract import Contract
from kfunctest.plugin.applicable import needs
from kfunctest.statkeys import MEMORY_EVENTS
from kfunctest.target.kfuncs import INT_MAX, INT_MIN, ULONG_MAX, Call, Kfuncs
from kfunctest.target.memcg import KiB, Memcg, MiB

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


def test_memory_events_after_an_oom_kill(memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    """A worker without swap that outgrows memory.max is killed, once; each event equals memory.events, exactly."""
    memcg.start()
    memcg.write("memory.max", str(3 * MiB))
    death = memcg.oom(6 * MiB)
    assert "by signal 9 during charge_anon" in death, f"the worker in {memcg.path}: expected SIGKILL, seen {death}"
    events = memcg.events()
    unknown = sorted(set(events) - set(MEMORY_EVENTS))
    assert not unknown, f"memory.events of {memcg.path} has keys that MEMORY_EVENTS does not know: {unknown}"
    calls = [Call("MEMORY_EVENTS", getattr(items, MEMORY_EVENTS[key])) for key in events]
    seen = dict(zip(events, kfuncs.batch(memcg, calls), strict=True))
    assert seen == events, f"events of {memcg.path}, counts: memory.events says {events}, the kfunc {seen}"
    assert seen["oom_kill"] == 1, f"one worker was killed in {memcg.path}: expected oom_kill 1, seen {seen}"
    assert seen["max"] >= 1, f"memory.max of {memcg.path} was hit before the kill: expected max 1 or more, seen {seen}"


def test_memory_events_count_the_high_limit(memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    """Little above the limit: the kernel lets a task sleep by the square of how far it is above."""
    memcg.start()
    memcg.write("memory.high", str(memcg.current() + 4 * MiB))
    memcg.charge_anon(4 * MiB + 256 * KiB)
    seen, expected = kfuncs.memory_events(memcg, items.MEMCG_HIGH), memcg.events()["high"]
    assert seen == expected >= 1, f"high of {memcg.path}: memory.events says {expected}, the kfunc {seen}"


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
