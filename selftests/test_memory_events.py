# SPDX-License-Identifier: GPL-2.0-only
"""bpf_mem_cgroup_memory_events(): what memory.events counts, live: limits hit, OOMs, kills."""

from __future__ import annotations

import pytest

from conftest import Items
from kfunctest.contract import MEMORY_EVENTS as KFUNC
from kfunctest.contract import Contract
from kfunctest.plugin.applicable import needs
from kfunctest.statkeys import MEMORY_EVENTS
from kfunctest.target.kfuncs import ULONG_MAX, Call, Kfuncs
from kfunctest.target.memcg import KiB, Memcg, MiB

pytestmark = pytest.mark.kfunc(name="memory_events")

INT_MIN, INT_MAX = -(1 << 31), (1 << 31) - 1


@pytest.fixture(autouse=True)
def promised(contract: Contract) -> None:
    """The revision as posted has no such kfunc; one that promises it must have it."""
    needs(KFUNC in contract.kfuncs, f"contract {contract.name} has no {KFUNC}")


def test_memory_events_are_zero_in_a_new_memcg(memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    for key, name in MEMORY_EVENTS.items():
        seen = kfuncs.memory_events(memcg, getattr(items, name))
        assert seen == 0, f"{key} ({name}) of the new {memcg.path}: expected 0, seen {seen:#x}"


def test_memory_events_after_an_oom_kill(memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    """A worker without swap that outgrows memory.max is killed, once; each event equals memory.events, exactly."""
    memcg.start()
    memcg.write("memory.max", str(3 * MiB))
    death = memcg.oom(6 * MiB)
    assert "by signal 9 during charge_anon" in death
    events = memcg.events()
    for key, name in MEMORY_EVENTS.items():
        seen = kfuncs.memory_events(memcg, getattr(items, name))
        assert seen == events[key], (
            f"{key} ({name}) of {memcg.path}: memory.events says {events[key]}, the kfunc {seen}"
        )
    assert events["oom_kill"] == 1, f"one worker was killed in {memcg.path}, memory.events says {events}"
    assert kfuncs.memory_events(memcg, items.MEMCG_OOM_KILL) == 1
    assert kfuncs.memory_events(memcg, items.MEMCG_MAX) >= 1, "memory.max was hit before the kill"


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
    assert seen == {child.path: 1, memcg.path: 1, sibling.path: 0}


def test_memory_events_of_an_index_outside_the_enum_are_minus_one(memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    bound = items.MEMCG_NR_MEMORY_EVENTS
    outside = [-1, bound, bound + 1, INT_MIN, INT_MAX]
    seen = kfuncs.batch(memcg, [Call("MEMORY_EVENTS", index) for index in outside])
    assert dict(zip(outside, seen, strict=True)) == dict.fromkeys(outside, ULONG_MAX)


def test_memory_events_take_the_last_index(memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    seen = kfuncs.memory_events(memcg, items.MEMCG_NR_MEMORY_EVENTS - 1)
    assert seen == 0, f"the last event of the new {memcg.path}: expected 0, seen {seen:#x}"
