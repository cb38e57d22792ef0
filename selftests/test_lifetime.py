# SPDX-License-Identifier: GPL-2.0-only
"""bpf_get_mem_cgroup() and bpf_put_mem_cgroup() over whole lives of memcgs: none is kept, none is taken back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from conftest import Items
from kfunctest.guest import cgroup, cgroup_churn, workers
from kfunctest.machine.bpf import DESCENDANTS_PRE, Bpf
from kfunctest.machine.dying_cgroups import dying, wait_until_gone
from kfunctest.machine.kfuncs import ULONG_MAX, Kfuncs
from kfunctest.machine.memcg import LEAVE_SECONDS, Memcg, MiB
from kfunctest.machine.vm import Vm
from kfunctest.tolerances import usage_slack
from kfunctest.wait import wait_until

pytestmark = pytest.mark.kfunc(name="get_put")

#: Memcgs below each other: more than anything that unrolls its walk up the tree would reckon with.
DEPTH = 40


@pytest.mark.parametrize(
    "lives",
    [pytest.param(200, marks=pytest.mark.slow_boot), pytest.param(10_000, marks=pytest.mark.soak)],
    ids=["some lives", "many lives"],
)
def test_no_life_of_a_memcg_leaves_anything(vm: Vm, memcg: Memcg, kfuncs: Kfuncs, bpf: Bpf, lives: int) -> None:
    """Each is made, got and put, and removed. Its memory is charged to its parent, where a leak would show as well."""
    pairs = bpf.open("get_put.bpf.c").load(*(programs := ["child_pairs", "child_nested"]))
    vm.call(cgroup.delegate_memory, memcg.path)
    before, used_before = dying(vm, memcg.path), kfuncs.usage(memcg)
    each = 5
    got = vm.call_within(60, cgroup_churn.live, pairs.handle, programs, memcg.path, lives, each)
    assert got == lives * each, f"get in {lives} children of {memcg.path}: expected {lives * each} memcgs, seen {got}"
    wait_until_gone(vm, memcg.path, f"{lives} children", before)
    wait_until(
        lambda: kfuncs.usage(memcg) - used_before,
        until=lambda kept: abs(kept) <= usage_slack(vm.cpus, vm.page_size),
        seconds=vm.stretched(5),
        what=f"usage of {memcg.path} in bytes to come back to {used_before} after {lives} lives of its children",
    )


@pytest.mark.slow_boot
def test_get_does_not_take_a_memcg_whose_last_reference_is_gone(vm: Vm, memcg: Memcg, bpf: Bpf) -> None:
    """It is still in the tree for a moment, where a walk meets it; but nobody may bring it back to life."""
    finder = bpf.open("dying.bpf.c").load("find_released")
    vm.call(cgroup.delegate_memory, memcg.path)
    path = f"{memcg.path}/freed"
    finder["watched"] = vm.call(cgroup.create, path)
    finder.attach("find_released")
    vm.call(cgroup.remove, path, vm.stretched(LEAVE_SECONDS))
    wait_until(
        lambda: finder["found_freed"],
        seconds=vm.stretched(5),
        interval=0.05,
        what=f"the memcg of the removed {path} to be met while the kernel frees it",
    )
    seen = finder["found_freed"], finder["got_freed"]
    assert seen == (1, 0), (
        f"the memcg of {path}, which nothing holds any more: expected to be found once and got never, seen {seen}"
    )


@contextmanager
def chain(vm: Vm, memcg: Memcg) -> Iterator[tuple[list[int], int]]:
    """Ids of memcgs below each other, from above, and the worker in the last one; removed with what is in it."""
    before = dying(vm, memcg.path)
    identities = vm.call(cgroup_churn.make_chain, memcg.path, DEPTH)
    worker = vm.call(workers.spawn, f"{memcg.path}{'/d' * DEPTH}")
    try:
        yield identities, worker
    finally:
        vm.call(workers.end, worker)
    wait_until_gone(vm, memcg.path, f"chain of {DEPTH}", before)


@pytest.mark.slow_boot
def test_each_memcg_of_a_deep_tree_can_be_got_alive_and_dying(vm: Vm, memcg: Memcg, bpf: Bpf) -> None:
    """A process that was not reaped pins the last, and so all above it, after all of them were removed."""
    finder = bpf.open("dying.bpf.c").load("find")
    with chain(vm, memcg) as (identities, worker):
        touched = vm.call(workers.work, worker, "charge_anon", 4 * MiB)
        # From above: nothing runs, so that usage may only fall from one reading to the next.
        above = ULONG_MAX
        for level, identity in enumerate(identities, 1):
            seen = finder.run("find", "find_args", cgroup_id=identity)
            assert (seen["found"], seen["got"]) == (1, 1), f"the memcg {level} levels below {memcg.path}: seen {seen}"
            assert touched <= seen["usage"] <= above, (
                f"usage {level} levels below {memcg.path} in bytes: expected {touched}, which the last touched, to "
                f"{above}, that of the one above, seen {seen['usage']}"
            )
            above = seen["usage"]
        vm.call(workers.kill, worker)
        vm.call(cgroup_churn.remove_chain, memcg.path, DEPTH, vm.stretched(LEAVE_SECONDS))
        held = dying(vm, memcg.path)
        assert held["nr_dying_descendants"] == DEPTH, f"{DEPTH} memcgs below {memcg.path} are pinned, seen {held}"
        for level, identity in enumerate(identities, 1):
            seen = finder.run("find", "find_args", cgroup_id=identity)
            assert (seen["found"], seen["got"]) == (1, 1), (
                f"the removed memcg {level} levels below {memcg.path}, which its children pin: expected to be found "
                f"and got once, seen {seen}"
            )


@pytest.mark.parametrize(
    "lives",
    [pytest.param(25, marks=pytest.mark.slow_boot), pytest.param(2000, marks=pytest.mark.soak)],
    ids=["for a moment", "for long"],
)
def test_memcgs_are_read_while_others_come_and_go(vm: Vm, memcg: Memcg, bpf: Bpf, items: Items, lives: int) -> None:
    """Two processes make, use and remove them; programs walk over all, flush them, and print them meanwhile."""
    walker, reader = bpf.open("walk.bpf.c").load("walk", "flush_all"), bpf.open("iter.bpf.c")
    reader["flush"] = 1
    link = reader.load("read_usage").link_cgroup_iter("read_usage", memcg, DESCENDANTS_PRE)
    vm.call(cgroup.delegate_memory, memcg.path)
    before = dying(vm, memcg.path)
    fields = {"cgroup_id": memcg.id, "most": vm.memory, "item": items.NR_ANON_MAPPED, "event": items.PGFAULT}
    programs = [(walker.handle, program, fields) for program in ("walk", "flush_all")]
    vm.call_within(120, cgroup_churn.stress, memcg.path, 2, lives, programs, [link])
    seen = {name: walker[name] for name in ("found", "got", "used", "wrong", "wrong_value")}
    assert seen["wrong"] == 0, f"values of children of {memcg.path}: expected none above {vm.memory}, seen {seen}"
    assert seen["used"], f"children of {memcg.path} that were met: expected some that had used memory, seen {seen}"
    wait_until_gone(vm, memcg.path, f"{2 * lives} children", before)
