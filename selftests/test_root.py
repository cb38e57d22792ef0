# SPDX-License-Identifier: GPL-2.0-only
"""bpf_get_root_mem_cgroup() and the values of the root memcg, which has no memory.current to compare with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from conftest import Items
from kfunctest.contract import MEMORY_EVENTS, Contract
from kfunctest.guest import agent, cgroup
from kfunctest.machine.kfuncs import Call, Kfuncs
from kfunctest.machine.memcg import Memcg, MiB
from kfunctest.machine.vm import Vm
from kfunctest.plugin.applicable import needs
from kfunctest.statkeys import printed, through_page_state
from kfunctest.tolerances import Sandwich, flushed_slack, plenty, sandwich, usage_slack
from kfunctest.wait import wait_until

pytestmark = pytest.mark.kfunc(name="get_root")

#: The kernel's flusher runs every 2 s; that it strikes within each of so many short rounds is out of the question.
ROUNDS = 3


def root_by_id(vm: Vm) -> Memcg:
    """The root cgroup, found by its id as any other: through bpf_get_mem_cgroup()."""
    root = Memcg(vm, "")
    root.id = vm.call(cgroup.identity, "")
    return root


@contextmanager
def task_of_the_root(vm: Vm) -> Iterator[Memcg]:
    """The root cgroup with a worker in it."""
    root = root_by_id(vm)
    root.start()
    try:
        yield root
    finally:
        root.kill()


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
    touched = busy.charge_anon(4 * MiB)
    root = root_by_id(vm)
    with asker.asking_from_inside():
        value = sandwich(lambda: kfuncs.usage(root), lambda: kfuncs.usage(None))
    assert value, f"usage of root, asked for from {asker.path}, by get_root against by get of its cgroup: {value}"
    assert touched <= value.seen <= vm.memory, (
        f"usage of root in bytes: expected {touched}, which {busy.path} touched, to {vm.memory}, seen {value.seen}"
    )


def test_root_usage_follows_what_a_child_charges(vm: Vm, contract: Contract, memcg: Memcg, kfuncs: Kfuncs) -> None:
    """As merged, it is the root's page counter, to which only descendants are charged."""
    needs(contract.root_usage_is_counter, f"contract {contract.name}: usage of root is made of the system's counters")
    memcg.start()
    before = kfuncs.usage(None)
    touched = memcg.charge_anon(plenty(vm.cpus, vm.page_size))
    grown = kfuncs.usage(None) - before
    slack = usage_slack(vm.cpus, vm.page_size)
    assert abs(grown - touched) <= slack, f"usage of root grew by {grown} bytes, expected {touched} +- {slack}"
    inner = kfuncs.usage(memcg)
    outer = kfuncs.usage(None)
    assert inner <= outer <= vm.memory, (
        f"usage of root in bytes: expected {inner}, the usage of {memcg.path}, to {vm.memory}, seen {outer}"
    )


def test_root_usage_leaves_out_what_tasks_of_the_root_use(vm: Vm, contract: Contract, kfuncs: Kfuncs) -> None:
    """As merged: memory of tasks in the root cgroup is charged to nobody."""
    needs(contract.root_usage_is_counter, f"contract {contract.name}: usage of root is made of the system's counters")
    with task_of_the_root(vm) as task:
        before = kfuncs.usage(None)
        touched = task.charge_anon(plenty(vm.cpus, vm.page_size))
        grown = kfuncs.usage(None) - before
    slack = usage_slack(vm.cpus, vm.page_size)
    assert abs(grown) <= slack, (
        f"usage of root grew by {grown} bytes while a task of the root cgroup touched {touched}, expected 0 +- {slack}"
    )


def test_root_usage_is_what_the_system_counts(vm: Vm, contract: Contract, memcg: Memcg, kfuncs: Kfuncs) -> None:
    """As posted, it is the page cache and the anonymous memory of the whole system."""
    needs(not contract.root_usage_is_counter, f"contract {contract.name}: usage of root is its page counter")
    memcg.charge_anon(plenty(vm.cpus, vm.page_size))

    def counted() -> int:
        pages = vm.call(agent.read_numbers, "/proc/vmstat")
        return (pages["nr_file_pages"] + pages["nr_anon_pages"]) * vm.page_size

    # Whatever runs meanwhile moves these up and down: a value that is wrong is so in every round.
    values = [sandwich(counted, lambda: kfuncs.usage(None)) for _ in range(ROUNDS)]
    assert any(values), (
        "usage of root in bytes, against nr_file_pages + nr_anon_pages of /proc/vmstat, in each round: "
        + "; ".join(map(str, values))
    )


@pytest.mark.slow_boot
def test_root_page_state_agrees_with_memory_stat_of_the_root(
    vm: Vm, memcg: Memcg, kfuncs: Kfuncs, items: Items
) -> None:
    """Every key, exactly, in one of a few rounds: in root something always moves, and the kernel's flusher may bring
    it up between the two last readings. A value that is wrong is so in every round.
    """
    touched = memcg.charge_anon(plenty(vm.cpus, vm.page_size))
    kfuncs.settled(None, busy=memcg)
    stat = vm.call(cgroup.read_keys, "", "memory.stat")
    names = printed(through_page_state(items.enum("node_stat_item") | items.enum("memcg_stat_item")), stat)
    assert len(names) >= 20, f"only {len(names)} keys of memory.stat of root can be compared: {sorted(stat)}"
    reads = [items.call(name) for name in names.values()]
    wrong: dict[str, str] = {}
    for _ in range(ROUNDS):
        before = kfuncs.flushed(None, *reads)
        stat = vm.call(cgroup.read_keys, "", "memory.stat")
        after = kfuncs.batch(None, reads)
        read = zip(names, before, after, strict=True)
        values = {key: Sandwich(first, stat[key], second) for key, first, second in read}
        wrong = {key: str(value) for key, value in values.items() if not value}
        if not wrong:
            break
    assert not wrong, f"memory.stat of root against page_state, in each key's own unit, in the last round: {wrong}"
    assert touched <= stat["anon"] <= vm.memory, (
        f"anon of root in bytes: expected {touched}, as {memcg.path} touched, to {vm.memory}, seen {stat['anon']}"
    )


@pytest.mark.slow_boot
def test_root_page_state_is_what_the_system_counts(vm: Vm, memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    """Every user page belongs to some memcg, and so to the root: /proc/vmstat counts them past all memcgs."""
    memcg.charge_anon(plenty(vm.cpus, vm.page_size))
    memcg.charge_shmem(plenty(vm.cpus, vm.page_size))
    names = {"NR_ANON_MAPPED": "nr_anon_pages", "NR_SHMEM": "nr_shmem", "NR_FILE_MAPPED": "nr_mapped"}
    seen = dict(zip(names, kfuncs.settled(None, *map(items.call, names), busy=memcg), strict=True))
    vm.call(cgroup.write_file, "/proc/sys/vm/stat_refresh", "1")
    counted = vm.call(agent.read_numbers, "/proc/vmstat")
    slack = flushed_slack(vm.cpus, vm.page_size)
    expected = {name: counted[key] * vm.page_size for name, key in names.items()}
    wrong = {name: seen[name] for name in names if abs(seen[name] - expected[name]) > slack}
    assert not wrong, f"items of root in bytes: the system counts {expected}, +- {slack}; seen {wrong}"


@pytest.mark.slow_boot
def test_root_does_not_count_the_events_of_its_children(
    contract: Contract, memcg: Memcg, kfuncs: Kfuncs, items: Items
) -> None:
    """They climb to the memcg below the root, and no further: the root has no memory.events that would show them."""
    needs(MEMORY_EVENTS in contract.kfuncs, f"contract {contract.name} has no {MEMORY_EVENTS}")
    calls = [Call("MEMORY_EVENTS", event) for event in range(items.MEMCG_NR_MEMORY_EVENTS)]
    memcg.start()
    memcg.write("memory.max", str(3 * MiB))
    before = kfuncs.batch(None, calls)
    memcg.oom(6 * MiB)
    after, own = kfuncs.batch(None, calls), kfuncs.batch(memcg, calls)
    assert own[items.MEMCG_OOM_KILL] == 1, (
        f"MEMCG_OOM_KILL of {memcg.path}: one worker was killed, expected 1, seen {own}"
    )
    assert after == before, (
        f"events of root in the enum's order, over a kill in {memcg.path}: expected {before}, seen {after}"
    )


@pytest.mark.slow_boot
@pytest.mark.destructive("kills a process, as if memory were short")
def test_root_counts_the_kill_of_a_task_of_its_own(vm: Vm, contract: Contract, kfuncs: Kfuncs, items: Items) -> None:
    """The kernel is asked by sysrq to kill whom it would kill first: a worker that offers itself."""
    needs(MEMORY_EVENTS in contract.kfuncs, f"contract {contract.name} has no {MEMORY_EVENTS}")
    with task_of_the_root(vm) as task:
        vm.call(cgroup.write_file, f"/proc/{task.do('ping')}/oom_score_adj", "1000")
        before = kfuncs.memory_events(None, items.MEMCG_OOM_KILL)
        vm.call(cgroup.write_file, "/proc/sysrq-trigger", "f")
        seen = wait_until(
            lambda: kfuncs.memory_events(None, items.MEMCG_OOM_KILL),
            until=lambda count: count != before,
            seconds=vm.stretched(5),
            what=f"MEMCG_OOM_KILL of root to leave {before} after a task of the root was killed",
        )
    assert seen == before + 1, (
        f"MEMCG_OOM_KILL of root, one of whose tasks was killed: expected {before + 1}, seen {seen}"
    )


def test_root_counts_at_least_what_its_child_does(vm: Vm, memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    memcg.charge_anon(plenty(vm.cpus, vm.page_size))
    names = ("NR_ANON_MAPPED", "MEMCG_KMEM", "NR_PAGETABLE")
    calls = [Call("PAGE_STATE", getattr(items, name)) for name in names]
    kfuncs.settled(None, busy=memcg)
    # The child first: it does nothing meanwhile, and whatever flushes brings up the root as well.
    inner, outer = kfuncs.batch(memcg, calls), kfuncs.batch(None, calls)
    for name, least, seen in zip(names, inner, outer, strict=True):
        assert 0 < least <= seen <= vm.memory, (
            f"{name} in bytes: {memcg.path} has {least}, expected more than 0; root, its parent, has {seen}, expected "
            f"as much or more, up to {vm.memory}"
        )
