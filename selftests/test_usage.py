# SPDX-License-Identifier: GPL-2.0-only
"""bpf_mem_cgroup_usage(): the bytes charged to a memcg and its descendants, live; what memory.current says."""

from __future__ import annotations

import pytest

from kfunctest.machine.kfuncs import Kfuncs
from kfunctest.machine.memcg import Memcg, MiB
from kfunctest.machine.vm import Vm
from kfunctest.tolerances import emptied, plenty, sandwich, usage_slack
from kfunctest.wait import wait_until

pytestmark = pytest.mark.kfunc(name="usage")


def test_usage_equals_memory_current(memcg: Memcg, kfuncs: Kfuncs) -> None:
    for size in (0, 1 * MiB, 7 * MiB):
        memcg.charge_anon(size) if size else memcg.start()
        usage = sandwich(memcg.current, lambda: kfuncs.usage(memcg))
        assert usage, f"usage of {memcg.path} after {size} more bytes, against memory.current, in bytes: {usage}"


def test_usage_grows_by_the_bytes_touched(vm: Vm, memcg: Memcg, kfuncs: Kfuncs) -> None:
    memcg.start()
    before = kfuncs.usage(memcg)
    touched = memcg.charge_anon(plenty(vm.cpus, vm.page_size))
    grown = kfuncs.usage(memcg) - before
    slack = usage_slack(vm.cpus, vm.page_size)
    assert abs(grown - touched) <= slack, f"usage of {memcg.path} grew by {grown} bytes, expected {touched} +- {slack}"


def test_usage_falls_back_after_release(vm: Vm, memcg: Memcg, kfuncs: Kfuncs) -> None:
    charges_and_releases(vm, kfuncs, memcg, seen_in=memcg)


def test_usage_is_zero_in_an_empty_memcg(memcg: Memcg, kfuncs: Kfuncs) -> None:
    seen = kfuncs.usage(memcg)
    assert seen == 0, f"usage of {memcg.path}, where no process ever was: expected 0 bytes, seen {seen:#x}"


def test_usage_of_a_parent_counts_its_children(vm: Vm, memcg: Memcg, kfuncs: Kfuncs) -> None:
    child = memcg.child().child("grandchild")
    touched = child.charge_anon(4 * MiB)
    # From above: nothing runs, so that usage may only fall from one reading to the next.
    outer, inner = kfuncs.usage(memcg), kfuncs.usage(child)
    assert outer >= inner >= touched, (
        f"usage in bytes: expected of the grandchild {touched} or more, seen {inner}; of its parent {outer}"
    )
    usage = sandwich(memcg.current, lambda: kfuncs.usage(memcg))
    assert usage, f"usage of {memcg.path}, against memory.current, in bytes: {usage}"


def test_usage_of_a_parent_falls_back_with_its_childrens(vm: Vm, memcg: Memcg, kfuncs: Kfuncs) -> None:
    charges_and_releases(vm, kfuncs, memcg.child().child("grandchild"), seen_in=memcg)


def test_usage_of_a_sibling_is_its_own(memcg: Memcg, kfuncs: Kfuncs) -> None:
    busy, idle = memcg.child("busy"), memcg.child("idle")
    touched = busy.charge_anon(4 * MiB)
    seen = kfuncs.usage(idle)
    assert seen == 0, f"usage of {idle.path} in bytes: expected 0, seen {seen}; its sibling touched {touched}"
    usage = sandwich(busy.current, lambda: kfuncs.usage(busy))
    assert usage, f"usage of {busy.path}, against memory.current, in bytes: {usage}"
    assert usage.seen >= touched, f"usage of {busy.path} in bytes: expected {touched} or more, seen {usage.seen}"


def test_usage_is_live_without_a_flush(vm: Vm, memcg: Memcg, kfuncs: Kfuncs) -> None:
    """One page less than a CPU's stock at a time: each step shows in memory.current at once, and so in usage."""
    memcg.start()
    for _ in range(4):
        memcg.charge_anon(63 * vm.page_size)
        usage = sandwich(memcg.current, lambda: kfuncs.usage(memcg))
        assert usage, f"usage of {memcg.path}, against memory.current, in bytes: {usage}"


def test_usage_returns_to_the_stock_when_the_last_process_is_gone(vm: Vm, memcg: Memcg, kfuncs: Kfuncs) -> None:
    memcg.charge_anon(plenty(vm.cpus, vm.page_size))
    memcg.kill()
    limit = emptied(vm.cpus, vm.page_size)
    wait_until(
        lambda: kfuncs.usage(memcg),
        until=lambda left: left <= limit,
        seconds=5 * vm.accelerator.slowdown,
        what=f"usage of {memcg.path} to fall to {limit} bytes, what CPUs hold back, or less",
    )
    usage = sandwich(memcg.current, lambda: kfuncs.usage(memcg))
    assert usage, f"usage of {memcg.path}, against memory.current, in bytes: {usage}"


def charges_and_releases(vm: Vm, kfuncs: Kfuncs, memcg: Memcg, *, seen_in: Memcg) -> None:
    """A process of ``memcg`` touches memory and unmaps it: usage of ``seen_in`` comes back but for the CPUs' stock."""
    memcg.start()
    before = kfuncs.usage(seen_in)
    memcg.charge_anon(plenty(vm.cpus, vm.page_size))
    released = memcg.release_anon()
    kept = kfuncs.usage(seen_in) - before
    slack = usage_slack(vm.cpus, vm.page_size)
    assert abs(kept) <= slack, (
        f"usage of {seen_in.path} kept {kept} of {released} bytes that {memcg.path} unmapped, expected 0 +- {slack}"
    )
