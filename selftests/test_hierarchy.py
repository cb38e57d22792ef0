# SPDX-License-Identifier: GPL-2.0-only
"""Values up the tree: a memcg's are its own and those of all below it, and nobody else's.

Three levels of children, two leaves that do different things, and a bystander.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from conftest import Items
from kfunctest.contract import MEMORY_EVENTS, Contract
from kfunctest.kernels.model import Kernel
from kfunctest.machine.kfuncs import Call, Kfuncs
from kfunctest.machine.memcg import Memcg, MiB
from kfunctest.machine.vm import Vm
from kfunctest.plugin.applicable import needs
from kfunctest.statitems import tracked
from kfunctest.tolerances import plenty

#: The kernel's own flusher may strike between two readings; in each of so many rounds it does not.
ROUNDS = 3


@dataclass(frozen=True)
class Tree:
    """``top/middle/low`` has the leaves ``left`` and ``right``; ``bystander`` is a child of ``top``."""

    top: Memcg
    middle: Memcg
    low: Memcg
    left: Memcg
    right: Memcg
    bystander: Memcg

    @property
    def upwards(self) -> tuple[Memcg, ...]:
        """Those above both leaves, from below."""
        return self.low, self.middle, self.top


@pytest.fixture
def tree(memcg: Memcg) -> Tree:
    """The tree, in which nothing has run."""
    middle = memcg.child("middle")
    low = middle.child("low")
    return Tree(memcg, middle, low, low.child("left"), low.child("right"), memcg.child("bystander"))


@pytest.mark.slow_boot
@pytest.mark.kfunc(name="page_state")
def test_every_value_of_a_parent_is_the_sum_of_its_childrens(
    vm: Vm, kernel: Kernel, tree: Tree, kfuncs: Kfuncs, items: Items
) -> None:
    """Exactly, item by item, at each of three levels, after one flush of the whole tree: nothing runs meanwhile.

    But for the kinds of kernel memory that a parent is charged itself, such as its children's per-CPU counters.
    """
    size = plenty(vm.cpus, vm.page_size)
    tree.left.charge_anon(size)
    tree.left.fork_children(4)
    tree.right.charge_shmem(size // 2)
    tree.right.map_file(kernel.image, size // 4)
    tree.right.reclaim(size // 4)
    names = {*items.enum("node_stat_item"), *items.enum("memcg_stat_item")}
    known = tracked(names, items.enum("vm_event_item"), lambda option: kernel.option(option) == "y")
    charged_above = {"MEMCG_KMEM", "MEMCG_PERCPU_B", "NR_SLAB_RECLAIMABLE_B", "NR_SLAB_UNRECLAIMABLE_B", "NR_VMALLOC"}
    wanted = sorted(known.states - charged_above - {"MEMCG_VMALLOC"}) + sorted(known.events)
    calls = [items.call(name) for name in wanted]
    leaves = (tree.left, tree.right)
    for _ in range(ROUNDS):
        tree.left.stir_ancestors(vm.cpus)
        kfuncs.settled(tree.top, busy=tree.right)
        left, right = (kfuncs.batch(leaf, calls) for leaf in leaves)
        above = {parent.path: kfuncs.batch(parent, calls) for parent in tree.upwards}
        if [left, right] == [kfuncs.batch(leaf, calls) for leaf in leaves]:
            break
    else:
        pytest.fail(f"values of {tree.low.path} went on moving, though nothing ran below it", pytrace=False)
    sums = {name: a + b for name, a, b in zip(wanted, left, right, strict=True)}
    for path, values in above.items():
        seen = dict(zip(wanted, values, strict=True))
        wrong = {name: f"expected {sums[name]}, seen {seen[name]}" for name in wanted if seen[name] != sums[name]}
        assert not wrong, f"{path}, against the sum of {tree.left.path} and {tree.right.path}: {wrong}"
    nobody = kfuncs.batch(tree.bystander, calls)
    assert not any(nobody), f"{tree.bystander.path}, where nothing ran: expected 0 of each item, seen {nobody}"
    for name, least in {"NR_ANON_MAPPED": size // 2, "NR_SHMEM": size // 4, "PGFAULT": 1}.items():
        assert sums[name] >= least, f"{name} of {tree.low.path}: expected {least} or more, seen {sums[name]}"


@pytest.mark.slow_boot
@pytest.mark.kfunc(name="usage")
def test_usage_of_each_parent_is_at_least_that_of_its_children(vm: Vm, tree: Tree, kfuncs: Kfuncs) -> None:
    """And what one leaf charges the other does not have."""
    touched = tree.left.charge_anon(plenty(vm.cpus, vm.page_size))
    tree.right.charge_anon(touched // 2)
    # From above: nothing runs, so that usage may only fall from one reading to the next.
    parents = {parent.path: kfuncs.usage(parent) for parent in reversed(tree.upwards)}
    left, right = kfuncs.usage(tree.left), kfuncs.usage(tree.right)
    assert touched <= left, (
        f"usage of {tree.left.path} in bytes: expected {touched}, which it touched, or more, seen {left}"
    )
    assert touched // 2 <= right < touched, (
        f"usage of {tree.right.path} in bytes: expected {touched // 2} to {touched}, seen {right}"
    )
    below = left + right
    for path, seen in reversed(parents.items()):
        assert seen >= below, f"usage of {path} in bytes: expected {below}, that of those below, or more, seen {seen}"
        below = seen
    idle = kfuncs.usage(tree.bystander)
    assert idle == 0, f"usage of {tree.bystander.path}, where nothing ran: expected 0 bytes, seen {idle}"


@pytest.mark.slow_boot
@pytest.mark.kfunc(name="memory_events")
def test_events_of_a_leaf_are_those_of_everybody_above_it(
    contract: Contract, tree: Tree, kfuncs: Kfuncs, items: Items
) -> None:
    """Each event of all, exactly, after an OOM kill; the other leaf and the bystander have none."""
    needs(MEMORY_EVENTS in contract.kfuncs, f"contract {contract.name} has no {MEMORY_EVENTS}")
    events = range(items.MEMCG_NR_MEMORY_EVENTS)
    calls = [Call("MEMORY_EVENTS", event) for event in events]
    tree.right.start()
    tree.left.start()
    tree.left.write("memory.max", str(3 * MiB))
    tree.left.oom(6 * MiB)
    expected = kfuncs.batch(tree.left, calls)
    kills = expected[items.MEMCG_OOM_KILL]
    assert kills == 1, f"MEMCG_OOM_KILL of {tree.left.path}: one worker was killed, expected 1, seen {kills}"
    for parent in tree.upwards:
        seen = kfuncs.batch(parent, calls)
        assert seen == expected, f"events of {parent.path} in the enum's order: expected {expected}, seen {seen}"
    for other in (tree.right, tree.bystander):
        seen = kfuncs.batch(other, calls)
        assert not any(seen), f"events of {other.path}, where nothing happened: expected 0 of each, seen {seen}"
