# SPDX-License-Identifier: GPL-2.0-only
"""bpf_mem_cgroup_flush_stats(): bring page_state and vm_events of a memcg's subtree up to date, if enough is pending.

What the kernel counts waits on the CPU that counted it. page_state and vm_events read the last flush's result; they do
not flush themselves.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable
from typing import NamedTuple

import pytest

from conftest import Items
from kfunctest.errors import GuestError
from kfunctest.guest import agent, cgroup
from kfunctest.machine.bpf import Bpf, BpfObject
from kfunctest.machine.kfuncs import PENDING, Call, Kfuncs
from kfunctest.machine.memcg import Memcg
from kfunctest.machine.vm import Vm
from kfunctest.plugin.applicable import needs
from kfunctest.tolerances import (
    STACK_PAGES,
    plenty,
    settled_slack,
    surely_flushed,
    threshold,
)
from selftests.flushing import ROUNDS, agent_on, around_a_flush, judge_rounds

pytestmark = pytest.mark.kfunc(name="flush_stats")

#: Pages whose charging makes far fewer updates than the threshold, FLUSH_BATCH_UPDATES for each CPU: each page is
#: counted as mapped, as faulted, and on its list.
FEW_PAGES = 8


#: What tells of flushes, and whether it does so of those too that are not needed: a tracepoint, and in kernels without
#: it the function that does the work.
OBSERVERS = {"on_flush": True, "on_needed_flush": False}


class Flush(NamedTuple):
    """One flush: the updates that were pending and those that were left, how often it was needed and was forced."""

    pending: int
    left: int
    needed: int
    forced: int


def test_flush_makes_pending_updates_visible(vm: Vm, memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    """Each round charges pages, reads, flushes and reads again: the first reading is stale, the second exact."""
    size = 2 * surely_flushed(vm.cpus) * vm.page_size
    judge_rounds(vm, memcg, size, lambda: around_a_flush(kfuncs, memcg, items.call("NR_ANON_MAPPED")))


@pytest.mark.slow_boot
def test_flush_reaches_the_whole_subtree(vm: Vm, memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    """A flush of the parent brings up what a grandchild counted: in the grandchild, and summed up in the parent."""
    size = 2 * surely_flushed(vm.cpus) * vm.page_size
    leaf = memcg.child().child("grandchild")
    item = items.call("NR_ANON_MAPPED")

    def of_leaf() -> list[int]:
        before = kfuncs.batch(leaf, [item])
        pending = kfuncs.batch(memcg, [PENDING, Call("FLUSH_STATS")])[:1]
        return before + pending + kfuncs.batch(leaf, [item])

    judge_rounds(vm, leaf, size, of_leaf)
    judge_rounds(vm, leaf, size, lambda: around_a_flush(kfuncs, memcg, item))


@pytest.mark.slow_boot
def test_flush_reaches_cousins(vm: Vm, memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    """Two memcgs with two leaves each, all with something pending on one CPU: one flush of the top brings up all, each
    its own, and their sums above.
    """
    parents = [memcg.child(name) for name in ("a", "b")]
    leaves = [parent.child(name) for parent in parents for name in ("one", "two")]
    made: dict[str, int] = {}
    for number, leaf in enumerate(leaves, 1):
        leaf.pin(0)
        made[leaf.path] = leaf.charge_shmem(number * surely_flushed(vm.cpus) * vm.page_size)
    kfuncs.settled(memcg, busy=leaves[0])
    call = items.call("NR_SHMEM")
    seen = {group.path: kfuncs.batch(group, [call])[0] for group in (memcg, *parents, *leaves)}
    expected = {path: sum(size for leaf, size in made.items() if leaf.startswith(path)) for path in seen}
    assert seen == expected, (
        f"NR_SHMEM in bytes after one flush of {memcg.path}: expected what was charged, {expected}, seen {seen}"
    )


def test_flush_makes_pending_events_visible(vm: Vm, memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    """vm_events is as stale as page_state: faults show after a flush, and not before."""
    event, burst = items.call("PGFAULT"), 2 * surely_flushed(vm.cpus)
    for _ in range(ROUNDS):
        last = kfuncs.batch(memcg, [Call("FLUSH_STATS"), event])[1]
        memcg.fault(burst)
        before, pending, after = around_a_flush(kfuncs, memcg, event)
        if before == last and pending > threshold(vm.cpus):
            assert after - last >= burst, f"PGFAULT of {memcg.path}: {burst} faults taken, after a flush {after - last}"
            return
    pytest.fail(f"in all of {ROUNDS} rounds vm_events of {memcg.path} were fresh without a flush", pytrace=False)


def test_flush_leaves_the_parent_stale(vm: Vm, memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    """A flush goes down the tree, not up: the parent waits for a flush of its own, which then has all of it."""
    leaf = memcg.child()
    item = items.call("NR_ANON_MAPPED")
    size, slack = 2 * surely_flushed(vm.cpus) * vm.page_size, settled_slack(vm.page_size)
    for _ in range(ROUNDS):
        last = kfuncs.settled(memcg, item, busy=leaf)[0]
        leaf.charge_anon(size)
        own = kfuncs.flushed(leaf, item)[0]
        stale, pending, fresh = around_a_flush(kfuncs, memcg, item)
        if stale == last and own > last and pending > threshold(vm.cpus):
            grown = fresh - last
            assert abs(grown - size) <= slack, (
                f"NR_ANON_MAPPED of {memcg.path}: {leaf.path} charged {size} bytes, a flush of it left {memcg.path} "
                f"alone, and one of {memcg.path} brought up {grown}, not +- {slack}"
            )
            return
        leaf.stat()  # see judge_rounds()
    pytest.fail(f"in all of {ROUNDS} rounds a flush of {leaf.path} brought up {memcg.path} as well", pytrace=False)


@pytest.mark.slow_boot
@pytest.mark.parametrize("reader", [0, 1])
def test_flush_brings_up_what_another_cpu_counted(
    vm: Vm, memcg: Memcg, kfuncs: Kfuncs, items: Items, reader: int
) -> None:
    """Whoever flushes sees to all CPUs: the program runs on one, all that was charged was so on the other."""
    needs(vm.cpus > 1, "there is only one CPU: --cpus 2")
    memcg.pin(1 - reader)
    with agent_on(vm, reader):
        size = 2 * surely_flushed(vm.cpus) * vm.page_size
        judge_rounds(vm, memcg, size, lambda: around_a_flush(kfuncs, memcg, items.call("NR_ANON_MAPPED")))


@pytest.fixture
def weighed(vm: Vm, memcg: Memcg, bpf: Bpf, items: Items) -> Callable[[str], Callable[[], tuple[int, int]]]:
    """``weighed(name)``: from now on, how many updates of the item the memcg had, and what they counted for."""

    def watch(name: str) -> Callable[[], tuple[int, int]]:
        tracer = bpf.open("trace_updates.bpf.c")
        tracer["watched"], tracer["item"] = memcg.id, items.call(name).index
        points = ("on_state", "on_lruvec_state")
        try:
            tracer.load(*points)
        except GuestError as error:
            needs(error.errno != errno.ESRCH, "this kernel has no tracepoint mod_memcg_state")
            raise
        for point in points:
            tracer.attach(point)
        return lambda: (int(tracer["updates"]), int(tracer["weight"]))

    return watch


@pytest.mark.slow_boot
def test_an_update_counts_for_its_pages(
    vm: Vm, memcg: Memcg, weighed: Callable[[str], Callable[[], tuple[int, int]]]
) -> None:
    """Whatever unit its item is kept in: kernel stacks are in KiB, and each page of one counts once."""
    memcg.start()
    stacks = weighed("NR_KERNEL_STACK_KB")
    memcg.fork_children(16)
    updates, weight = stacks()
    assert weight in (expected := [16 * pages for pages in STACK_PAGES]), (
        f"NR_KERNEL_STACK_KB of {memcg.path}: 16 stacks, expected one of {expected} pages, seen {updates} updates that "
        f"counted for {weight}"
    )


def test_flush_of_little_is_a_no_op(vm: Vm, memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    """Below the threshold a flush costs nothing and changes nothing: a monitor may call it as often as it likes."""
    item = Call("PAGE_STATE", items.NR_ANON_MAPPED)
    for _ in range(ROUNDS):
        memcg.charge_anon(2 * surely_flushed(vm.cpus) * vm.page_size)
        last = kfuncs.batch(memcg, [Call("FLUSH_STATS"), item])[1]
        memcg.charge_anon(FEW_PAGES * vm.page_size)
        if kfuncs.batch(memcg, [Call("FLUSH_STATS"), item])[1] == last:
            return
    pytest.fail(f"in all of {ROUNDS} rounds {FEW_PAGES} pages charged to {memcg.path} were flushed", pytrace=False)


@pytest.mark.slow_boot
def test_flush_of_root_brings_up_what_a_child_charged(vm: Vm, memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    """Root is flushed like any other: by its own pending updates, those of all memcgs.

    It has the pages of whatever else runs; /proc/vmstat counts all of them, past the memcgs.
    """

    def elsewhere(made: int) -> int:
        vm.call(cgroup.write_file, "/proc/sys/vm/stat_refresh", "1")
        return vm.call(agent.read_numbers, "/proc/vmstat")["nr_anon_pages"] * vm.page_size - made

    size = plenty(vm.cpus, vm.page_size)
    item = items.call("NR_ANON_MAPPED")
    judge_rounds(vm, memcg, size, lambda: around_a_flush(kfuncs, None, item), elsewhere)


@pytest.mark.slow_boot
def test_flush_of_a_memcg_is_one_flush_above_the_threshold(vm: Vm, memcg: Memcg, bpf: Bpf) -> None:
    """The kernel keeps count of what is pending and tells of its flushes. The first of two in a row has all that was
    charged before it, and leaves nothing; the second has next to nothing, and leaves it.
    """
    tracer, observer = observed(bpf)
    enough = threshold(vm.cpus)
    expected = 0
    flushes: list[Flush] = []
    for _ in range(ROUNDS):
        memcg.charge_anon(plenty(vm.cpus, vm.page_size))
        assert tracer.run("flush_twice", "flush_args", cgroup_id=memcg.id)["retval"] == 0, f"no memcg of {memcg.path}"
        raw = tracer["flushed"]
        assert isinstance(raw, bytes)
        flushes = [Flush._make(fields) for fields in struct.iter_unpack("=qqii", raw)]
        for flush in flushes:
            assert (flush.needed, flush.forced) == (flush.pending > enough, False), (
                f"a flush of {memcg.path}: expected it to be needed with more than {enough} updates pending, and never "
                f"to be forced; seen {flush}"
            )
        expected += len(flushes) if OBSERVERS[observer] else sum(flush.needed for flush in flushes)
        fired, in_map = tracer["fired"], tracer.lookup("flushes", memcg.id) if expected else 0
        assert fired == in_map == expected, (
            f"{expected} flushes of {memcg.path}: {observer} was called {fired!r} times, the map has {in_map!r}"
        )
        assert not flushes[1].needed, f"the second flush of {memcg.path} in a row: seen {flushes}"
        left = [0 if flush.needed else flush.pending for flush in flushes]
        if flushes[0].needed and [flush.left for flush in flushes] == left:
            return
    pytest.fail(
        f"in all of {ROUNDS} rounds what was charged to {memcg.path} needed no flush, or one that was needed left "
        f"something pending, or one that was not took it away; seen last: {flushes}",
        pytrace=False,
    )


def observed(bpf: Bpf) -> tuple[BpfObject, str]:
    """The tracer, with the first of OBSERVERS that this kernel has."""
    for observer in OBSERVERS:
        tracer = bpf.open("trace_flush.bpf.c")
        try:
            tracer.load(observer, "flush_twice").attach(observer)
        except GuestError as error:
            if error.errno != errno.ESRCH:
                raise
        else:
            return tracer, observer
    pytest.fail("this kernel has neither the tracepoint memcg_flush_stats nor cgroup_rstat_flush()", pytrace=False)


@pytest.mark.slow_boot
def test_flush_from_a_sleepable_iterator(vm: Vm, memcg: Memcg, kfuncs: Kfuncs, bpf: Bpf, items: Items) -> None:
    """The way a monitoring tool flushes: from iter.s/cgroup, then page_state is exact."""
    reader = bpf.open("iter.bpf.c")
    reader["flush"] = 1
    read = reader.load("read_usage").attach_cgroup_iter("read_usage", memcg)

    def around_the_iterator() -> list[int]:
        before = kfuncs.page_state(memcg, items.NR_ANON_MAPPED)
        printed = read()
        pending = reader["pending"]
        assert isinstance(pending, int)
        assert printed.split()[0] == str(memcg.id), f"expected the line of cgroup {memcg.id}, seen {printed!r}"
        return [before, pending, kfuncs.page_state(memcg, items.NR_ANON_MAPPED)]

    judge_rounds(vm, memcg, 2 * surely_flushed(vm.cpus) * vm.page_size, around_the_iterator)
