# SPDX-License-Identifier: GPL-2.0-only
"""What bpf_mem_cgroup_flush_stats() goes by: each update counts for its pages, in its memcg and in each above.

What a CPU has not told of yet counts as well as what waits for a flush in the open: together they are all that was
updated since the last one.
"""

from __future__ import annotations

import errno

import pytest

from conftest import Items
from kfunctest.errors import GuestError
from kfunctest.guest import removal
from kfunctest.machine.bpf import Bpf, BpfObject
from kfunctest.machine.memcg import Memcg
from kfunctest.machine.vm import Vm
from kfunctest.plugin.applicable import needs
from kfunctest.tolerances import FLUSH_BATCH_UPDATES, threshold
from selftests.flushing import ROUNDS

pytestmark = [pytest.mark.kfunc(name="flush_stats"), pytest.mark.slow_boot]

#: Pages that make more updates than a CPU holds back and fewer than need a flush: each is mapped, faulted and unmapped.
SOME_PAGES = FLUSH_BATCH_UPDATES // 3 + 2
POINTS = ("on_state", "on_lruvec_state", "on_events", "on_flush")
#: As in pending.bpf.c, which adds up what each of the first CPUs holds back.
MOST_CPUS = 64
#: Seconds within which the kernel is through with a flush of everything.
CALM = 0.2
NANOSECONDS = 10**9
#: Objects of the slab, each far smaller than a page.
OBJECTS = 8


@pytest.fixture
def tracer(vm: Vm, bpf: Bpf, items: Items) -> BpfObject:
    """``pending.bpf.c``, which sees the updates of the memcg that it is told to watch."""
    needs(vm.cpus <= MOST_CPUS, f"there are more than {MOST_CPUS} CPUs")
    opened = bpf.open("pending.bpf.c")
    opened["item"] = items.call("NR_SLAB_UNRECLAIMABLE_B").index
    try:
        opened.load("look", *POINTS)
    except GuestError as error:
        needs(error.errno != errno.ESRCH, "this kernel has no tracepoint of each update of a memcg")
        raise
    for point in POINTS:
        opened.attach(point)
    return opened


def look(vm: Vm, tracer: BpfObject, memcg: Memcg, *, flush: bool = False) -> dict[str, int]:
    """The fields of struct pending_args."""
    seen = tracer.run("look", "pending_args", cgroup_id=memcg.id, cpus=vm.cpus, flush=int(flush))
    assert seen["retval"] == 0, f"pending.bpf.c gave {seen['retval']} for {memcg.path}: see its look()"
    return seen


def test_what_waits_for_a_flush_is_all_that_was_updated(vm: Vm, memcg: Memcg, tracer: BpfObject) -> None:
    """In the memcg and in the one above it: nothing after a flush of both, and then what each update counted for.

    The kernel's own flusher takes it away: a round in which it ran is none, or just before which it began to. So is one
    in which more is updated than by the faults: page tables are freed after an RCU grace period, which is waited for.
    """
    needs(vm.cpus > 1, "there is only one CPU, which may hold back as much as needs a flush: --cpus 2")
    leaf = memcg.child()
    leaf.start()
    tracer["watched"] = leaf.id
    groups = (memcg, leaf)
    made: list[int] = []
    for _ in range(ROUNDS):
        leaf.stir_ancestors(vm.cpus)
        vm.call(removal.wait_for_rcu_callbacks)
        forced = tracer["forced"]
        flush = look(vm, tracer, memcg, flush=True)
        start = [look(vm, tracer, group) for group in groups]
        leaf.fault(SOME_PAGES)
        vm.call(removal.wait_for_rcu_callbacks)
        end = [look(vm, tracer, group) for group in groups]
        quiet = flush["before"] == start[0]["told"] == start[1]["told"] and end[0]["told"] == end[1]["told"]
        calm = tracer["forced"] == forced and flush["calm"] >= CALM * NANOSECONDS
        made.append(end[0]["told"] - start[0]["told"])
        enough = FLUSH_BATCH_UPDATES < made[-1] <= threshold(vm.cpus)
        if quiet and calm and enough and flush["found"] > threshold(vm.cpus):
            break
    else:
        pytest.fail(
            f"in all of {ROUNDS} rounds the kernel flushed by itself, or worked in {leaf.path}, or faults on "
            f"{SOME_PAGES} pages did not make more than {FLUSH_BATCH_UPDATES} updates and up to {threshold(vm.cpus)}, "
            f"but {made}",
            pytrace=False,
        )
    for group, first, last in zip(groups, start, end, strict=True):
        left = first["pending"], first["held"]
        assert left == (0, 0), (
            f"updates of {group.path} pending and held back after a flush: expected none, seen {left}"
        )
        seen = last["pending"] + last["held"]
        assert seen == made[-1], (
            f"updates of {group.path}: those made in {leaf.path} counted for {made[-1]}, expected as many pending or "
            f"held back, seen {last}"
        )


def test_a_cpu_holds_back_fewer_than_a_batch(vm: Vm, memcg: Memcg, tracer: BpfObject) -> None:
    """It tells of all when they are 64, and never later; with updates of one page each it comes to hold back 63."""
    memcg.start()
    tracer["watched"] = memcg.id
    for _ in range(ROUNDS):
        memcg.stir(vm.cpus)
        look(vm, tracer, memcg, flush=True)
        memcg.fault(SOME_PAGES)
        if tracer["most_held"] == FLUSH_BATCH_UPDATES - 1:
            break
    most = tracer["most_held"]
    assert most == FLUSH_BATCH_UPDATES - 1, (
        f"updates of {memcg.path} that a CPU held back: expected {FLUSH_BATCH_UPDATES - 1} at most, and so many once, "
        f"seen {most!r}"
    )


def test_an_update_of_less_than_a_page_counts_one(vm: Vm, memcg: Memcg, tracer: BpfObject) -> None:
    """Two memcgs take turns with objects of the slab on one CPU, which tells of the one's when the other comes."""
    one, other = memcg.child("one"), memcg.child("other")
    for each in (one, other):
        each.pin(0)
    tracer["watched"] = one.id
    for _ in range(OBJECTS):
        one.do("open_files", 1)
        other.do("open_files", 1)
    updates, nothing = tracer["of_item"], tracer["nothing"]
    assert isinstance(updates, int)
    assert updates >= OBJECTS, f"NR_SLAB_UNRECLAIMABLE_B of {one.path}: expected {OBJECTS} updates, seen {updates}"
    assert nothing == 0, f"updates of {one.path} that count for nothing: expected none, seen {nothing!r}"
