# SPDX-License-Identifier: GPL-2.0-only
"""bpf_get_root_mem_cgroup() and the values of the root memcg, which has no memory.current to compare with."""

from __future__ import annotations

import pytest

from conftest import Items
from kfunctest.contract import Contract
from kfunctest.guest import cgroup
from kfunctest.measure import WORKER_PAGES, Sandwich, flush_lag, sandwich, stock
from kfunctest.target.kfuncs import Call, Kfuncs
from kfunctest.target.memcg import Memcg, MiB
from kfunctest.target.vm import Vm

pytestmark = pytest.mark.kfunc(name="get_root")


def root_by_id(vm: Vm) -> Memcg:
    """The root cgroup, found by its id as any other: through bpf_get_mem_cgroup()."""
    root = Memcg(vm, "")
    root.id = vm.call(cgroup.identity, "")
    return root


def test_get_root_and_get_of_the_root_cgroup_are_the_same_memcg(
    vm: Vm, memcg: Memcg, kfuncs: Kfuncs, items: Items
) -> None:
    memcg.charge_anon(4 * MiB)
    root = root_by_id(vm)
    for call in (Call("USAGE"), Call("PAGE_STATE", items.NR_ANON_MAPPED), Call("VM_EVENTS", items.PGFAULT)):
        value = sandwich(lambda c=call: kfuncs.batch(root, [c])[0], lambda c=call: kfuncs.batch(None, [c])[0])  # type: ignore[misc]
        assert value, f"{call} of root, by get_root against by get of its cgroup: {value}"


def test_get_root_is_the_root_whoever_asks(vm: Vm, memcg: Memcg, kfuncs: Kfuncs) -> None:
    busy, asker = memcg.child("busy"), memcg.child("asker")
    busy.charge_anon(4 * MiB)
    root = root_by_id(vm)
    with asker.asking_from_inside():
        value = sandwich(lambda: kfuncs.usage(root), lambda: kfuncs.usage(None))
    assert value, f"usage of root, asked for from {asker.path}, by get_root against by get of its cgroup: {value}"
    assert value.seen >= 4 * MiB, f"usage of root in bytes: its descendant has 4 MiB, seen {value.seen}"


def test_root_usage_follows_what_a_child_charges(vm: Vm, contract: Contract, memcg: Memcg, kfuncs: Kfuncs) -> None:
    memcg.start()
    before = kfuncs.usage(None)
    touched = memcg.charge_anon(4 * MiB)
    grown = kfuncs.usage(None) - before
    # Root's tasks are not charged to the root counter; the approximation of v2 counts them too.
    slack = stock(vm.cpus, vm.page_size) + WORKER_PAGES * vm.page_size * (1 if contract.root_usage_is_counter else 16)
    assert abs(grown - touched) <= slack, f"usage of root grew by {grown} bytes, expected {touched} +- {slack}"
    inner = kfuncs.usage(memcg)
    assert kfuncs.usage(None) >= inner, f"root's usage is below that of {memcg.path}, {inner} bytes"


def test_root_page_state_agrees_with_memory_stat_of_the_root(
    vm: Vm, memcg: Memcg, kfuncs: Kfuncs, items: Items
) -> None:
    memcg.charge_anon(4 * MiB)
    before = kfuncs.batch(None, [Call("FLUSH_STATS"), Call("PAGE_STATE", items.NR_ANON_MAPPED)])[1]
    stat = vm.call(cgroup.read_keys, "", "memory.stat")["anon"]
    value = Sandwich(before, stat, kfuncs.page_state(None, items.NR_ANON_MAPPED))
    assert value, f"anon of root in bytes, memory.stat against page_state: {value}"
    assert stat >= 4 * MiB - flush_lag(vm.cpus) * vm.page_size


def test_root_counts_at_least_what_its_child_does(memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    memcg.charge_anon(4 * MiB)
    names = ("NR_ANON_MAPPED", "MEMCG_KMEM", "NR_PAGETABLE")
    calls = [Call("PAGE_STATE", getattr(items, name)) for name in names]
    kfuncs.flush_stats(None)
    # The child first: it does nothing meanwhile, and whatever flushes brings up the root as well.
    inner, outer = kfuncs.batch(memcg, calls), kfuncs.batch(None, calls)
    for name, least, seen in zip(names, inner, outer, strict=True):
        assert seen >= least > 0, f"{name} in bytes: root {seen}, its child {memcg.path} {least}"
