# SPDX-License-Identifier: GPL-2.0-only
"""bpf_get_mem_cgroup() and bpf_put_mem_cgroup(): references that keep a memcg alive, and must all be given back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from kfunctest.guest import cgroup, workers
from kfunctest.machine.bpf import Bpf
from kfunctest.machine.dying_cgroups import dying, wait_until_gone
from kfunctest.machine.kfuncs import Kfuncs, NoMemcg
from kfunctest.machine.memcg import LEAVE_SECONDS, Memcg
from kfunctest.machine.vm import Vm
from kfunctest.wait import wait_until

pytestmark = pytest.mark.kfunc(name="get_put")

PAIRS = 10_000
#: In how many rounds, 0.1 s apart, somebody else may let go of a removed memcg. It goes offline, and its objects move
#: to its parent, some grace periods after the removal: css_killed_work_fn(), kernel/cgroup/cgroup.c,
#: obj_cgroup_release(), mm/memcontrol.c.
ROUNDS = 5


@pytest.mark.slow_boot
@pytest.mark.parametrize("program", ["child_pairs", "child_nested"])
def test_a_memcg_goes_away_after_as_many_puts_as_gets(vm: Vm, memcg: Memcg, bpf: Bpf, program: str) -> None:
    pairs = bpf.open("get_put.bpf.c").load(program)
    before = dying(vm, memcg.path)
    vm.call(cgroup.delegate_memory, memcg.path)
    path = f"{memcg.path}/held"
    identity = vm.call(cgroup.create, path)
    after = pairs.run(program, "pairs_args", cgroup_id=identity, pairs=PAIRS)
    vm.call(cgroup.remove, path, vm.stretched(LEAVE_SECONDS))
    assert (after["retval"], after["done"]) == (0, PAIRS), f"get of {path}: expected {PAIRS} memcgs, seen {after}"
    wait_until_gone(vm, memcg.path, path, before)


def test_get_of_root_is_always_there(bpf: Bpf) -> None:
    after = bpf.open("get_put.bpf.c").load("root_pairs").run("root_pairs", "pairs_args", pairs=PAIRS)
    assert (after["retval"], after["done"]) == (0, PAIRS), f"get_root: expected {PAIRS} memcgs, seen {after}"


def test_get_is_null_where_the_parent_delegates_no_memory_controller(vm: Vm, memcg: Memcg, kfuncs: Kfuncs) -> None:
    """It never falls back to an ancestor's memcg."""
    bare = Memcg(vm, f"{memcg.path}/bare")
    with bare, pytest.raises(NoMemcg):
        kfuncs.usage(bare)


@contextmanager
def removed(vm: Vm, memcg: Memcg) -> Iterator[tuple[str, int]]:
    """Path and id of a removed child, pinned by a process in it that exited and was not reaped."""
    before = dying(vm, memcg.path)
    vm.call(cgroup.delegate_memory, memcg.path)
    path = f"{memcg.path}/removed"
    identity = vm.call(cgroup.create, path)
    zombie = vm.call(workers.spawn, path)
    try:
        vm.call(workers.kill, zombie)
        vm.call(cgroup.remove, path, vm.stretched(LEAVE_SECONDS))
        yield path, identity
    finally:
        vm.call(workers.end, zombie)
    wait_until_gone(vm, memcg.path, path, before)


@pytest.mark.slow_boot
def test_get_takes_a_removed_memcg_that_is_still_pinned(vm: Vm, memcg: Memcg, bpf: Bpf) -> None:
    """Whoever finds it may still look at it, and put it; then it goes away."""
    finder = bpf.open("dying.bpf.c").load("find")
    with removed(vm, memcg) as (path, identity):
        for what, wanted in {f"{memcg.path}, alive": memcg.id, f"{path}, with a zombie in it": identity}.items():
            seen = finder.run("find", "find_args", cgroup_id=wanted)
            assert (seen["retval"], seen["found"], seen["got"]) == (0, 1, 1), (
                f"{what}: expected to find it once and to get it once, seen {seen}"
            )


@pytest.mark.slow_boot
def test_get_takes_one_reference_and_put_gives_it_back(vm: Vm, memcg: Memcg, bpf: Bpf) -> None:
    """Counted in a removed memcg: only there all references are in one counter. Others let go of it, too, at first."""
    finder = bpf.open("dying.bpf.c").load("find")
    rounds: list[tuple[int, int, int]] = []
    with removed(vm, memcg) as (path, identity):
        while len(rounds) < ROUNDS:
            seen = wait_until(
                lambda: finder.run("find", "find_args", cgroup_id=identity),
                until=lambda seen: seen["before"] > 0,
                seconds=5 * vm.accelerator.slowdown,
                interval=0.1,
                what=f"the references on {path} to be counted in one place, after a grace period",
            )
            before, held, after = seen["before"], seen["held"], seen["after"]
            rounds.append((before, held, after))
            if rounds[-1] == (before, before + 1, before):
                return
            # Who lets go meanwhile makes both fewer; nothing that is right makes them more.
            if held > before + 1 or after > before:
                break
            time.sleep(0.1)
    pytest.fail(
        f"references on {path} before get, after it, after put: expected one more while it is held, seen {rounds}",
        pytrace=False,
    )
