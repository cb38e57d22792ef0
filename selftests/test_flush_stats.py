# SPDX-License-Identifier: GPL-2.0-only
"""bpf_mem_cgroup_flush_stats(): bring page_state and vm_events of a memcg's subtree up to date, if enough is pending.

What the kernel counts waits on the CPU that counted it. page_state and vm_events read the last flush's result; they do
not flush themselves.
"""

from __future__ import annotations

import pytest

from conftest import Items
from kfunctest.measure import WORKER_PAGES, surely_flushed
from kfunctest.target.bpf import Bpf
from kfunctest.target.kfuncs import Call, Kfuncs
from kfunctest.target.memcg import Memcg
from kfunctest.target.vm import Vm

pytestmark = pytest.mark.kfunc(name="flush_stats")

#: A flusher of the kernel's own runs every 2 s and may strike between two readings, but not in each of so many rounds.
ROUNDS = 5


def test_flush_makes_pending_updates_visible(vm: Vm, memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    """Each round charges pages, reads, flushes and reads again: the second reading is exact, the first is stale."""
    pages = 2 * surely_flushed(vm.cpus)
    memcg.start()
    memcg.charge_anon(pages * vm.page_size)
    item = Call("PAGE_STATE", items.NR_ANON_MAPPED)
    last = kfuncs.batch(memcg, [Call("FLUSH_STATS"), item])[1]
    stale = 0
    slack = WORKER_PAGES * vm.page_size
    for _ in range(ROUNDS):
        memcg.charge_anon(pages * vm.page_size)
        before, _, after = kfuncs.batch(memcg, [item, Call("FLUSH_STATS"), item])
        expected = last + pages * vm.page_size
        assert abs(after - expected) <= slack, (
            f"NR_ANON_MAPPED of {memcg.path} after a flush: expected {expected} +- {slack} bytes, seen {after}"
        )
        stale += before == last
        last = after
    assert stale, f"in all of {ROUNDS} rounds page_state was fresh before the flush: it flushes by itself"


def test_flush_reaches_the_whole_subtree(vm: Vm, memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    """A flush of the parent brings up what a grandchild counted, in the parent and in the grandchild."""
    size = 2 * surely_flushed(vm.cpus) * vm.page_size
    leaf = memcg.child().child("grandchild")
    leaf.charge_anon(size)
    kfuncs.flush_stats(memcg)
    last = {group.path: kfuncs.page_state(group, items.NR_ANON_MAPPED) for group in (memcg, leaf)}
    slack = WORKER_PAGES * vm.page_size
    for _ in range(ROUNDS):
        leaf.charge_anon(size)
        kfuncs.flush_stats(memcg)
        for group in (memcg, leaf):
            seen = kfuncs.page_state(group, items.NR_ANON_MAPPED)
            expected = last[group.path] + size
            assert abs(seen - expected) <= slack, (
                f"NR_ANON_MAPPED of {group.path} in bytes: expected {expected} +- {slack}, seen {seen}"
            )
            last[group.path] = seen


def test_flush_of_root_is_allowed(kfuncs: Kfuncs) -> None:
    kfuncs.flush_stats(None)


def test_flush_from_a_sleepable_iterator(vm: Vm, memcg: Memcg, kfuncs: Kfuncs, bpf: Bpf, items: Items) -> None:
    """The way a monitoring tool flushes: from iter.s/cgroup, then page_state is exact."""
    size = 4 * surely_flushed(vm.cpus) * vm.page_size
    reader = bpf.open("iter.bpf.c")
    reader["flush"] = 1
    read = reader.load("read_usage").attach_cgroup_iter("read_usage", memcg)
    memcg.charge_anon(size)
    read()
    before = kfuncs.page_state(memcg, items.NR_ANON_MAPPED)
    memcg.charge_anon(size)
    printed = read()
    grown = kfuncs.page_state(memcg, items.NR_ANON_MAPPED) - before
    assert printed.split()[0] == str(memcg.id), f"expected the line of cgroup {memcg.id}, seen {printed!r}"
    assert abs(grown - size) <= WORKER_PAGES * vm.page_size, (
        f"NR_ANON_MAPPED of {memcg.path} grew by {grown} bytes, expected {size}"
    )
