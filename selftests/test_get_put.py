# SPDX-License-Identifier: GPL-2.0-only
"""bpf_get_mem_cgroup() and bpf_put_mem_cgroup(): references that keep a memcg alive, and must all be given back."""

from __future__ import annotations

import pytest

from kfunctest.guest import cgroup, workers
from kfunctest.target.bpf import Bpf
from kfunctest.target.kfuncs import Kfuncs, NoMemcg
from kfunctest.target.memcg import LEAVE_SECONDS, Memcg
from kfunctest.target.vm import Vm
from kfunctest.wait import wait_until

pytestmark = pytest.mark.kfunc(name="get_put")

PAIRS = 1000


def dying(vm: Vm, memcg: Memcg) -> dict[str, int]:
    """How many removed descendants of the memcg something still holds."""
    stat = vm.call(cgroup.read_keys, memcg.path, "cgroup.stat")
    return {key: stat[key] for key in ("nr_dying_descendants", "nr_dying_subsys_memory") if key in stat}


def wait_until_gone(vm: Vm, memcg: Memcg, path: str, before: dict[str, int]) -> None:
    """Wait until nothing holds the removed cgroup. A workqueue drops the last reference, after a grace period."""
    wait_until(
        lambda: dying(vm, memcg),
        until=lambda now: now == before,
        seconds=5 * vm.accelerator.slowdown,
        interval=0.1,
        what=f"the removed {path} to go away, as cgroup.stat of {memcg.path} tells: expected {before}",
    )


@pytest.mark.parametrize("program", ["child_pairs", "child_nested"])
def test_a_memcg_goes_away_after_as_many_puts_as_gets(vm: Vm, memcg: Memcg, bpf: Bpf, program: str) -> None:
    pairs = bpf.open("get_put.bpf.c").load(program)
    before = dying(vm, memcg)
    vm.call(cgroup.delegate_memory, memcg.path)
    path = f"{memcg.path}/held"
    identity = vm.call(cgroup.create, path)
    after = pairs.run(program, "pairs_args", cgroup_id=identity, pairs=PAIRS)
    vm.call(cgroup.remove, path, LEAVE_SECONDS)
    assert (after["retval"], after["done"]) == (0, PAIRS), f"get of {path}: expected {PAIRS} memcgs, seen {after}"
    wait_until_gone(vm, memcg, path, before)


def test_get_of_root_is_always_there(bpf: Bpf) -> None:
    after = bpf.open("get_put.bpf.c").load("root_pairs").run("root_pairs", "pairs_args", pairs=PAIRS)
    assert (after["retval"], after["done"]) == (0, PAIRS), f"get_root: expected {PAIRS} memcgs, seen {after}"


def test_get_is_null_where_the_parent_delegates_no_memory_controller(vm: Vm, memcg: Memcg, kfuncs: Kfuncs) -> None:
    """It never falls back to an ancestor's memcg."""
    bare = Memcg(vm, f"{memcg.path}/bare")
    with bare, pytest.raises(NoMemcg):
        kfuncs.usage(bare)


def test_get_takes_a_removed_memcg_that_is_still_pinned(vm: Vm, memcg: Memcg, bpf: Bpf) -> None:
    """A process that exited but was not reaped pins its memcg. Whoever finds it may still look at it, and put it."""
    finder = bpf.open("dying.bpf.c").load("find")
    before = dying(vm, memcg)
    vm.call(cgroup.delegate_memory, memcg.path)
    path = f"{memcg.path}/removed"
    identity = vm.call(cgroup.create, path)
    alive = finder.run("find", "find_args", cgroup_id=identity)
    zombie = vm.call(workers.spawn, path)
    try:
        vm.call(workers.kill, zombie)
        vm.call(cgroup.remove, path, LEAVE_SECONDS)
        removed = finder.run("find", "find_args", cgroup_id=identity)
    finally:
        vm.call(workers.end, zombie)
    for what, seen in {"alive": alive, "removed, with a zombie in it": removed}.items():
        assert (seen["retval"], seen["found"], seen["got"]) == (0, 1, 1), (
            f"{path}, {what}: expected to find it once and to get it once, seen {seen}"
        )
    wait_until_gone(vm, memcg, path, before)
