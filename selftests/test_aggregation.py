# SPDX-License-Identifier: GPL-2.0-only
"""What CPUs counted, each by itself, against what a flush makes of it in a memcg and in each memcg above.

What is compared with a memcg's own counters has the code of the flush in common with them: an item that it forgets is
forgotten in both. Here the sums are made of what the CPUs keep, where no flush has been. Most items move in no test of
this suite; where the kernel's memory can be written, each CPU is given another count of each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest

from conftest import Items
from kfunctest.kernels.model import Kernel
from kfunctest.machine.bpf import Bpf
from kfunctest.machine.kfuncs import PENDING, Call, Kfuncs
from kfunctest.machine.memcg import Memcg
from kfunctest.machine.raw_counters import Counters, CpuCounters, NoCounter, RawCounters
from kfunctest.machine.vm import Vm
from kfunctest.plugin.applicable import needs
from kfunctest.statitems import BOUNDS
from kfunctest.tolerances import surely_flushed, threshold

pytestmark = [pytest.mark.slow_boot, pytest.mark.kfunc(name="flush_stats")]

#: Beyond 32 bits, and so far apart that no two sums of a few of them are the same.
LARGE, APART = 1 << 33, 1 << 20
#: The kernel's own work, or its flusher, may strike between two looks; in each of so many rounds it does not.
ROUNDS = 10

Tree = tuple[Memcg, Memcg, Memcg]


@pytest.fixture
def raw(vm: Vm, bpf: Bpf) -> RawCounters:
    """The counters themselves."""
    return RawCounters(vm, bpf.open("raw_counters.bpf.c"))


@pytest.fixture
def tree(memcg: Memcg) -> Tree:
    """A leaf, its parent and the parent of that."""
    middle = memcg.child("middle")
    return middle.child("leaf"), middle, memcg


def counted(vm: Vm, raw: RawCounters, tree: Tree) -> list[CpuCounters]:
    """For each memcg what all CPUs counted in it and in those below it."""
    sums: list[CpuCounters] = []
    state: Sequence[int] = ()
    events: Sequence[int] = ()
    for memcg in tree:
        for cpu in range(vm.cpus):
            one = raw.read_cpu(memcg, cpu)
            state = [a + b for a, b in zip(state or [0] * len(one.state), one.state, strict=True)]
            events = [a + b for a, b in zip(events or [0] * len(one.events), one.events, strict=True)]
        sums.append(CpuCounters(tuple(state), tuple(events), {}))
    return sums


def names_by_place(kept: Counters, items: Items) -> tuple[dict[int, str], dict[int, str]]:
    """The items' and the events' names, by where their counters are."""
    states: dict[int, str] = {}
    events: dict[int, str] = {}
    for enum, names in (("node_stat_item", states), ("memcg_stat_item", states), ("vm_event_item", events)):
        for name, index in items.enum(enum).items():
            if name in BOUNDS:
                continue
            try:
                names[kept.event_place(index) if names is events else kept.state_place(index)] = name
            except NoCounter:
                continue
    return states, events


def judge(vm: Vm, raw: RawCounters, items: Items, tree: Tree, flush: Callable[[], bool]) -> None:
    """After the leaf counted something on every CPU and ``flush``, each counter is the sum of what the CPUs have.

    ``flush`` tells whether each flush was needed. The kernel's own flusher may have set the count of pending updates to
    zero, and left the last of them (see kfunctest.tolerances.Rounds).
    """
    leaf = tree[0]
    for _ in range(ROUNDS):
        for cpu in range(vm.cpus):
            leaf.pin(cpu)
            leaf.stir_ancestors(vm.cpus)  # a flush looks at those CPUs only that have counted since the last one
        before = counted(vm, raw, tree)
        needed = flush()
        kept = [raw.read(memcg) for memcg in tree]
        if needed and counted(vm, raw, tree) == before:
            break
    else:
        pytest.fail(
            f"in each of {ROUNDS} rounds a flush was not needed after {leaf.path} had counted on every CPU, or the "
            "CPUs went on counting there, though nothing ran",
            pytrace=False,
        )
    states, events = names_by_place(kept[0], items)
    for memcg, sums, seen in zip(tree, before, kept, strict=True):
        wrong = {
            names.get(place, f"counter {place}"): f"expected {total}, seen {value}"
            for names, totals, values in ((states, sums.state, seen.state), (events, sums.events, seen.events))
            for place, (total, value) in enumerate(zip(totals, values, strict=True))
            if total != value
        }
        assert not wrong, (
            f"counters of {memcg.path} after a flush, in the kernel's units, against the sum of those of each CPU, "
            f"here and below: {wrong}"
        )


def flushed(vm: Vm, kfuncs: Kfuncs, memcg: Memcg) -> bool:
    """Flush it; whether that was needed."""
    pending, _ = kfuncs.batch(memcg, [PENDING, Call("FLUSH_STATS")])
    return pending > threshold(vm.cpus)


def test_what_every_cpu_counted_reaches_every_memcg_above(
    vm: Vm, raw: RawCounters, kfuncs: Kfuncs, items: Items, tree: Tree
) -> None:
    """By a flush of each, from below, made certain by what the leaf did: those above wait for their turn."""

    def flush() -> bool:
        return all(flushed(vm, kfuncs, memcg) for memcg in tree)

    tree[0].charge_anon(2 * surely_flushed(vm.cpus) * vm.page_size)
    judge(vm, raw, items, tree, flush)


@pytest.fixture
def settable(kernel: Kernel) -> None:
    """Where the kernel's memory can be written."""
    needs(kernel.option("CONFIG_DEVMEM") == "y", "CONFIG_DEVMEM is not set")
    needs(kernel.option("CONFIG_STRICT_DEVMEM") != "y", "CONFIG_STRICT_DEVMEM is set")


@pytest.fixture
def given(vm: Vm, settable: None, raw: RawCounters, kfuncs: Kfuncs, tree: Tree) -> Iterator[None]:
    """Each CPU has counts of its own of each item and event: in the leaf, in its parent and in the parent of that.

    The first CPU has more of an item than the others have less: what is freed on another CPU is counted there, and
    negative. All is taken back on leaving, from the memcgs above as well, which goes on to the root.
    """
    tree[0].start()
    given: list[tuple[Memcg, int, list[int], list[int]]] = []
    for level, memcg in enumerate(tree):
        for cpu in range(vm.cpus):
            was = raw.read_cpu(memcg, cpu)
            much, sign = LARGE << level, -1 if cpu else 1
            state = [sign * ((much >> cpu) + at * APART * (1 if cpu else vm.cpus)) for at in range(len(was.state))]
            events = [(much >> cpu) + (len(was.state) + at) * APART for at in range(len(was.events))]
            given.append((memcg, cpu, state, events))
    for memcg, cpu, state, events in given:
        raw.add_to_cpu(memcg, cpu, state, events)
    yield
    if vm.lost:
        return
    for memcg, cpu, state, events in given:
        raw.add_to_cpu(memcg, cpu, [-n for n in state], [-n for n in events])
    for cpu in range(vm.cpus):
        tree[0].pin(cpu)
        kfuncs.settled(None, busy=tree[0])


@pytest.mark.destructive("writes into the kernel's memory")
def test_any_count_of_every_cpu_reaches_every_memcg_above(
    vm: Vm, given: None, raw: RawCounters, kfuncs: Kfuncs, items: Items, tree: Tree
) -> None:
    """Each CPU was given another count of each item and event: one flush of the top brings up all."""

    def flush() -> bool:
        raw.set_pending(tree[-1], threshold(vm.cpus) + 1)
        return flushed(vm, kfuncs, tree[-1])

    judge(vm, raw, items, tree, flush)
