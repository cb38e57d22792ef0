# SPDX-License-Identifier: GPL-2.0-only
"""bpf_mem_cgroup_usage() and bpf_mem_cgroup_page_state() of each kind of memory: charged to the page, and given back.

Usage is a page counter, the items are counted past it: a charge that only one of them hears of parts them for good.
"""

from __future__ import annotations

import pytest

from conftest import Items
from kfunctest.contract import MEMORY_EVENTS, Contract
from kfunctest.kernels.model import Kernel
from kfunctest.measure import plenty, stock
from kfunctest.plugin.applicable import needs
from kfunctest.target.kfuncs import Call, Kfuncs
from kfunctest.target.memcg import Memcg, MiB
from kfunctest.target.vm import Vm
from selftests.exact import judge_sum

pytestmark = pytest.mark.kfunc(name="usage")

#: What a worker makes, and how it gives it back; the arguments are numbers of bytes, pages or things.
KINDS = {
    "anonymous memory": (("charge_anon", 4 * MiB), "release_anon"),
    "shared memory": (("charge_shmem", 4 * MiB), "release_shmem"),
    "huge pages": (("charge_huge", 2), "release_areas"),
    "page tables": (("charge_page_tables", 64), "release_areas"),
    "objects of the slab": (("open_files", 2000), "close_files"),
    "sockets": (("send_unread", MiB), "close_sockets"),
}


@pytest.mark.slow_boot
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


@pytest.mark.slow_boot
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


@pytest.mark.slow_boot
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


@pytest.mark.slow_boot
@pytest.mark.kfunc(name="page_state")
def test_a_charge_that_was_refused_is_not_in_usage(
    vm: Vm, kernel: Kernel, memcg: Memcg, kfuncs: Kfuncs, items: Items
) -> None:
    """The parent's limit refused it, the leaf's counter had taken it already: it is the sum of its items again."""
    leaf = memcg.child("leaf")
    leaf.start()
    memcg.write("memory.max", str(memcg.current() + MiB))
    leaf.oom(4 * MiB)
    memcg.write("memory.max", "max")
    judge_sum(vm, kernel, kfuncs, leaf, items, f"after charges that {memcg.path} refused", leaf)
