# SPDX-License-Identifier: GPL-2.0-only
"""Values that 32 bits do not hold, of memory that is really there: a VM of its own, which has enough."""

from __future__ import annotations

import pytest

from conftest import Items
from kfunctest.guest import cgroup
from kfunctest.kernels.model import Kernel
from kfunctest.machine import capacity
from kfunctest.machine.kfuncs import Call, Kfuncs
from kfunctest.machine.memcg import Memcg
from kfunctest.machine.vm import Vm
from kfunctest.plugin.applicable import needs
from kfunctest.tolerances import flushed_slack, sandwich, usage_slack

MEMORY = "6G"
HUGE = 2 << 20
#: Huge pages of 4.25 GiB: 1,114,112 small ones, more than 2^20.
COUNT = 2176

pytestmark = [pytest.mark.slow_boot, pytest.mark.boot(memory=MEMORY)]


@pytest.fixture(scope="module", autouse=True)
def room(request: pytest.FixtureRequest) -> None:
    """A host that can spare that much: asked before the VM is booted."""
    needs(capacity.room().holds(capacity.size_of(MEMORY)) > 0, f"this host cannot spare {MEMORY} for a VM")


@pytest.mark.kfunc(name="usage")
@pytest.mark.kfunc(name="page_state")
def test_more_than_4_gib_are_told_to_the_byte_and_fall_back(
    vm: Vm, kernel: Kernel, memcg: Memcg, kfuncs: Kfuncs, items: Items
) -> None:
    """In the memcg and in those above it. In huge pages, since small ones take minutes under emulation."""
    needs(kernel.option("CONFIG_TRANSPARENT_HUGEPAGE") == "y", "CONFIG_TRANSPARENT_HUGEPAGE is not set")
    # Nothing but what is asked for becomes huge, on kernels too that do not tell that apart for a process.
    vm.call(cgroup.write_file, "/sys/kernel/mm/transparent_hugepage/enabled", "madvise")
    leaf = memcg.child().child("leaf")
    leaf.start()
    names = ("NR_ANON_THPS", "NR_ANON_MAPPED")
    calls = [items.call(name) for name in names]

    def readings() -> list[list[int]]:
        above = kfuncs.settled(memcg, Call("USAGE"), *calls, busy=leaf)
        return [kfuncs.batch(leaf, [Call("USAGE"), *calls]), above]

    start = readings()
    made = leaf.do("charge_huge", COUNT)
    assert made == COUNT * HUGE > 1 << 32, f"expected to touch {COUNT * HUGE} bytes, more than 4 GiB, seen {made}"
    slack = max(usage_slack(vm.cpus, vm.page_size), flushed_slack(vm.cpus, vm.page_size))
    tables = COUNT * vm.page_size  # each huge page has a page table in reserve
    for group, before, now in zip((leaf, memcg), start, readings(), strict=True):
        usage, huge, anonymous = (b - a for a, b in zip(before, now, strict=True))
        assert made - slack <= usage <= made + tables + slack, (
            f"usage of {group.path} grew by {usage} bytes, expected {made} to {made + tables}, +- {slack}"
        )
        assert huge == made, f"NR_ANON_THPS of {group.path} grew by {huge} bytes, expected {made}"
        assert abs(anonymous - made) <= slack, (
            f"NR_ANON_MAPPED of {group.path} grew by {anonymous} bytes, expected {made} +- {slack}"
        )
        current = sandwich(group.current, lambda group=group: kfuncs.usage(group))  # type: ignore[misc]
        assert current, f"usage of {group.path}, against memory.current, in bytes: {current}"
    root = kfuncs.usage(None)
    assert made <= root <= vm.memory, f"usage of root in bytes: expected {made} to {vm.memory}, seen {root}"
    leaf.do("release_areas")
    for group, before, now in zip((leaf, memcg), start, readings(), strict=True):
        kept = [b - a for a, b in zip(before, now, strict=True)]
        assert max(map(abs, kept)) <= slack, (
            f"{group.path}, bytes kept of {made}, by usage, {', '.join(names)}: expected 0 +- {slack}, seen {kept}"
        )
