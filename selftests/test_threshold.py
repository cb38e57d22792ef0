# SPDX-License-Identifier: GPL-2.0-only
"""bpf_mem_cgroup_flush_stats() at its threshold: the one number of pending updates that needs no flush, and the next.

Whoever charges overshoots: the kernel's count of what is pending goes up by what a CPU held back. So it is set.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from conftest import Items
from kfunctest.guest import cgroup
from kfunctest.kernels.model import Kernel
from kfunctest.machine.bpf import Bpf
from kfunctest.machine.kfuncs import PENDING, Call, Kfuncs
from kfunctest.machine.memcg import Memcg
from kfunctest.machine.raw_counters import RawCounters
from kfunctest.machine.vm import Vm
from kfunctest.plugin.applicable import needs
from kfunctest.tolerances import threshold

pytestmark = [
    pytest.mark.kfunc(name="flush_stats"),
    pytest.mark.slow_boot,
    pytest.mark.destructive("writes into the kernel's memory, and takes a CPU offline"),
]

ONLINE = "/sys/devices/system/cpu/cpu1/online"
#: Rounds that could be judged, of which most decide: the kernel's own flusher, which runs every 2 s, may strike even
#: between two calls of one program. And rounds in all.
JUDGED, ROUNDS = 3, 20


@pytest.fixture(params=["all online", "one offline"])
def online(request: pytest.FixtureRequest, vm: Vm, kernel: Kernel) -> Iterator[int]:
    """How many CPUs are online: what the threshold goes by, not by how many there might be."""
    if request.param == "all online":
        yield vm.cpus
        return
    needs(kernel.option("CONFIG_HOTPLUG_CPU") == "y", "CONFIG_HOTPLUG_CPU is not set")
    needs(vm.cpus > 1, "there is only one CPU: --cpus 2")
    vm.call_within(30, cgroup.write_file, ONLINE, "0")
    yield vm.cpus - 1
    if not vm.lost:
        vm.call_within(30, cgroup.write_file, ONLINE, "1")


@pytest.fixture
def raw(vm: Vm, kernel: Kernel, bpf: Bpf) -> RawCounters:
    """The counters themselves, where they can be set."""
    needs(kernel.option("CONFIG_DEVMEM") == "y", "CONFIG_DEVMEM is not set")
    needs(kernel.option("CONFIG_STRICT_DEVMEM") != "y", "CONFIG_STRICT_DEVMEM is set")
    return RawCounters(vm, bpf.open("raw_counters.bpf.c"))


def test_more_than_64_updates_for_each_online_cpu_need_a_flush(
    online: int, memcg: Memcg, kfuncs: Kfuncs, items: Items, raw: RawCounters
) -> None:
    """A flush that is needed leaves nothing pending, one that is not leaves all."""
    faults = items.call("PGFAULT")
    for updates, left in ((threshold(online), threshold(online)), (threshold(online) + 1, 0)):
        judge(memcg, kfuncs, raw, faults, updates, left, f"{online} CPUs online")


def judge(
    memcg: Memcg, kfuncs: Kfuncs, raw: RawCounters, faults: Call, updates: int, expected: int, online: str
) -> None:
    """With ``updates`` pending a flush must leave ``expected``, in most rounds.

    One in which a fault was counted since the last flush, and is not seen yet: a flush of nothing changes nothing.
    """
    seen: list[int] = []
    for _ in range(ROUNDS):
        (flushed,) = kfuncs.batch(memcg, [faults])
        memcg.fault(1)
        raw.set_pending(memcg, updates)
        before, counted, _, after = kfuncs.batch(memcg, [PENDING, faults, Call("FLUSH_STATS"), PENDING])
        if (before, counted) == (updates, flushed):
            seen.append(after)
        if len(seen) == JUDGED:
            break
    else:
        pytest.fail(f"in {ROUNDS} rounds {memcg.path} did not keep {updates} pending updates", pytrace=False)
    assert seen.count(expected) > JUDGED // 2, (
        f"updates of {memcg.path} that are pending after a flush with {updates} of them, {online}: "
        f"expected {expected}, seen {seen}"
    )
