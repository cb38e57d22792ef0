# SPDX-License-Identifier: GPL-2.0-only
"""bpf_get_mem_cgroup() and bpf_put_mem_cgroup(): references that keep a memcg alive, and must all be given back."""

from __future__ import annotations

import pytest

from kfunctest.guest import cgroup
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
    # The last css reference is dropped after an RCU grace period, by a workqueue.
    wait_until(
        lambda: dying(vm, memcg) == before,
        seconds=5 * vm.accelerator.slowdown,
        interval=0.1,
        what=f"the removed {path} to go away, as cgroup.stat of {memcg.path} tells: expected {before}",
    )


def test_get_of_root_is_always_there(bpf: Bpf) -> None:
    after = bpf.open("get_put.bpf.c").load("root_pairs").run("root_pairs", "pairs_args", pairs=PAIRS)
    assert (after["retval"], after["done"]) == (0, PAIRS), f"get_root: expected {PAIRS} memcgs, seen {after}"


def test_get_is_null_where_the_parent_delegates_no_memory_controller(vm: Vm, memcg: Memcg, kfuncs: Kfuncs) -> None:
    """It never falls back to an ancestor's memcg."""
    bare = Memcg(vm, f"{memcg.path}/bare")
    with bare, pytest.raises(NoMemcg):
        kfuncs.usage(bare)
