# SPDX-License-Identifier: GPL-2.0-only
"""bpf_mem_cgroup_page_state() against memory.numa_stat, which has counters of its own: the nodes' parts make the whole.

The kernel counts what a node has twice, for the memcg and for its lruvec on that node (__mod_memcg_lruvec_state(),
mm/memcontrol.c), and adds both up the tree. Reclaim goes by the second, page_state by the first.
"""

from __future__ import annotations

import pytest

from conftest import Items
from kfunctest.kernels.model import Kernel
from kfunctest.machine.kfuncs import Kfuncs
from kfunctest.machine.memcg import Memcg, MiB
from kfunctest.machine.vm import Vm
from kfunctest.statkeys import PAGE_STATE
from kfunctest.tolerances import Sandwich, plenty

pytestmark = [pytest.mark.kfunc(name="page_state"), pytest.mark.slow_boot]


def by_nodes(memcg: Memcg) -> dict[str, int]:
    """memory.numa_stat: of each key the sum over all nodes, in the key's unit."""
    lines = (line.split() for line in memcg.read("memory.numa_stat").splitlines())
    return {key: sum(int(node.partition("=")[2]) for node in nodes) for key, *nodes in lines}


def test_page_state_is_the_sum_over_the_nodes(
    vm: Vm, kernel: Kernel, memcg: Memcg, kfuncs: Kfuncs, items: Items
) -> None:
    """Every key, exactly; of the memcg where it all happened, and of the one above."""
    leaf = memcg.child()
    size = plenty(vm.cpus, vm.page_size)
    leaf.map_file(kernel.image, MiB)
    leaf.reclaim(MiB // 2)
    leaf.touch_file()
    leaf.fork_children(4)
    leaf.charge_anon(size)
    leaf.charge_shmem(size // 2)
    kfuncs.settled(memcg, busy=leaf)
    states = items.enum("node_stat_item")
    for group in (leaf, memcg):
        names = {key: PAGE_STATE[key] for key in by_nodes(group) if PAGE_STATE.get(key) in states}
        calls = [items.call(name) for name in names.values()]
        before = kfuncs.flushed(group, *calls)
        nodes = by_nodes(group)
        after = kfuncs.batch(group, calls)
        read = zip(names, before, after, strict=True)
        values = {key: Sandwich(first, nodes[key], second) for key, first, second in read}
        wrong = {key: str(value) for key, value in values.items() if not value}
        assert not wrong, f"{group.path}, memory.numa_stat against page_state, in each key's unit: {wrong}"
        idle = {"anon", "shmem", "file", "kernel_stack", "pagetables"} - {key for key in names if nodes[key]}
        assert not idle, f"{group.path}, memory.numa_stat: expected more than 0 of {sorted(idle)}, seen {nodes}"
