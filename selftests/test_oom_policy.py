# SPDX-License-Identifier: GPL-2.0-only
"""The use that the kfuncs were made for: a BPF OOM policy reads the victim's memcg, and those above it, at the kill.

The program runs inside the OOM killer, which holds the victim's lock: it cannot sleep, so it cannot flush.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import pytest

from conftest import Items
from kfunctest.contract import MEMORY_EVENTS, Contract
from kfunctest.machine.bpf import Bpf
from kfunctest.machine.kfuncs import Kfuncs
from kfunctest.machine.memcg import Memcg, MiB
from kfunctest.machine.vm import Vm
from kfunctest.tolerances import plenty, settled_slack, stock

pytestmark = pytest.mark.kfunc(name="usage")

NEIGHBOUR = 2 * MiB


class Reading(NamedTuple):
    """struct reading of oom_policy.bpf.c, of one memcg: its cgroup's id, bytes, bytes, and counts."""

    id: int
    usage: int
    anon: int
    faults: int
    ooms: int
    kills: int


@pytest.mark.slow_boot
def test_an_oom_policy_reads_the_victims_memcg_and_all_above_it(
    vm: Vm, memcg: Memcg, kfuncs: Kfuncs, bpf: Bpf, items: Items, contract: Contract
) -> None:
    """The worker of a grandchild runs into its limit. At that moment the grandchild is full, but for what CPUs have in
    stock; every memcg above has what it has and what its neighbour charged; items and events are those of the last
    flush, or of one that the kernel made since; and the events of the kill are counted up to the top.
    """
    limit = 2 * plenty(vm.cpus, vm.page_size)
    parent = memcg.child("parent")
    leaf, neighbour = parent.child("leaf"), parent.child("neighbour")
    beside = neighbour.charge_anon(NEIGHBOUR)
    half = leaf.charge_anon(limit // 2)
    anon, faults = kfuncs.settled(leaf, items.call("NR_ANON_MAPPED"), items.call("PGFAULT"))
    assert anon >= half - settled_slack(vm.page_size), (
        f"NR_ANON_MAPPED of {leaf.path}, bytes: expected {half} or little less, seen {anon}"
    )
    leaf.write("memory.max", str(limit))
    readings, depth = read_at_the_kill(bpf, leaf, items, 2 * limit)
    assert depth == 3, f"level of {leaf.path}, three below the root: expected 3, seen {depth}"
    expected_ids = [memcg.id, parent.id, leaf.id]
    assert [one.id for one in readings[1:]] == expected_ids, f"ids from the top: {expected_ids}, seen {readings}"
    root, top, middle, victim = readings
    slack = stock(vm.cpus, vm.page_size)
    assert limit - slack <= victim.usage <= limit, (
        f"usage of {leaf.path}, bytes, as it ran into {limit}: expected that less {slack} at most, seen {victim.usage}"
    )
    assert victim.usage + beside <= middle.usage <= top.usage, (
        f"usage in bytes: expected of {parent.path} {victim.usage + beside}, that of both below it, or more, seen "
        f"{middle.usage}; of {memcg.path} as much or more, seen {top.usage}"
    )
    assert not contract.root_usage_is_counter or top.usage <= root.usage, (
        f"usage of root in bytes: expected {top.usage}, that of {memcg.path}, or more, seen {root.usage}"
    )
    assert anon <= victim.anon <= victim.usage + slack, (
        f"NR_ANON_MAPPED of {leaf.path}, bytes: expected {anon}, as flushed, up to its usage + {slack}, seen {victim}"
    )
    kfuncs.flush_stats(leaf)
    after = kfuncs.vm_events(leaf, items.PGFAULT)
    assert 1 <= faults <= victim.faults <= after, (
        f"PGFAULT of {leaf.path}: expected {faults}, as flushed, up to {after}, as many as afterwards, seen "
        f"{victim.faults}"
    )
    if MEMORY_EVENTS in contract.kfuncs:
        counted = [(one.ooms, one.kills) for one in (top, middle, victim)]
        assert counted == [(1, 1)] * 3, (
            f"MEMCG_OOM, MEMCG_OOM_KILL from {memcg.path} down: expected 1 and 1 each, seen {counted}"
        )


def read_at_the_kill(bpf: Bpf, leaf: Memcg, items: Items, size: int) -> tuple[list[Reading], int]:
    """Let the worker of ``leaf`` be killed while it charges ``size`` bytes.

    Returns what was read, from the root down, and the victim's depth.
    """
    policy = bpf.open("oom_policy.bpf.c").load("on_victim")
    policy["watched"] = leaf.id
    indices = {"anon_item": items.NR_ANON_MAPPED, "fault_event": items.PGFAULT}
    indices |= {"oom_event": items.MEMCG_OOM, "kill_event": items.MEMCG_OOM_KILL}
    for name, index in indices.items():
        policy[name] = index
    policy.attach("on_victim")
    death = leaf.oom(size)
    assert "by signal 9" in death, f"the worker in {leaf.path}: expected SIGKILL, seen {death}"
    assert policy["victims"] == 1, (
        f"victims of {leaf.path} that the program saw: expected 1, seen {policy['victims']!r}"
    )
    raw, depth = policy["readings"], policy["depth"]
    assert isinstance(raw, bytes)
    assert isinstance(depth, int)
    return [Reading._make(fields) for fields in struct.iter_unpack("=6Q", raw)], depth
