# SPDX-License-Identifier: GPL-2.0-only
"""What bpf_mem_cgroup_vm_events() of the series as posted does with an event that does not exist.

Under v2 nothing between the program and the array checks the event: the verifier takes an enum for a plain scalar
(kernel/bpf/verifier.c, check_kfunc_args()), the kfunc hands it on, and memcg_events() takes it for an index
(mm/memcontrol.c). So these tests make a kernel read out of bounds, and run on request only: ``-m evidence``, on a
kernel with KASAN and UBSAN, which may say so. docs/evidence.md quotes what they saw.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import Items
from kfunctest.contract import Contract
from kfunctest.kernels.model import Kernel
from kfunctest.machine.kernel_log import logged
from kfunctest.machine.kfuncs import INT_MAX, INT_MIN, Call, Kfuncs, Killed
from kfunctest.machine.memcg import Memcg
from kfunctest.machine.vm import Vm
from kfunctest.plugin.applicable import needs

pytestmark = [
    pytest.mark.kfunc(name="vm_events"),
    pytest.mark.evidence,
    # The oops must be survived to be read, and the next event to be tried.
    pytest.mark.boot(without=("oops=panic",)),
]

#: Events that do not exist, as distances from NR_VM_EVENT_ITEMS.
PAST_THE_END = (0, 1, 16)
#: Others, gigabytes away from the array.
FAR = {"INT_MAX": INT_MAX, "minus one": -1, "INT_MIN": INT_MIN}


@pytest.fixture(autouse=True)
def unchecked(kernel: Kernel, contract: Contract) -> None:
    """Only where the contract leaves the check out, and something watches memory."""
    needs(not contract.vm_events_checked, f"contract {contract.name} checks the event")
    needs(kernel.option("CONFIG_KASAN") == "y", "CONFIG_KASAN is not set")


def called(vm: Vm, memcg: Memcg, kfuncs: Kfuncs, event: int, evidence: Path) -> str:
    """Call vm_events with the event; returns what the kernel logged, which is also kept in ``evidence``."""

    def call() -> str:
        try:
            return f"returned {kfuncs.batch_apart(memcg, [Call('VM_EVENTS', event)])[0]:#x}"
        except Killed as killed:
            return str(killed)

    result, log = logged(vm, call)
    evidence.write_text(f"bpf_mem_cgroup_vm_events(memcg, {event}): {result}; the kernel logged:\n{log.strip()}\n")
    return log


@pytest.mark.expect_splat("ubsan", match="array-index-out-of-bounds")
def test_an_event_just_past_the_last_is_read_and_only_ubsan_says_so(
    vm: Vm, kernel: Kernel, memcg: Memcg, kfuncs: Kfuncs, items: Items, consoles: Path
) -> None:
    """The array of indexes (mm/memcontrol.c, mem_cgroup_events_index) is __read_mostly, so it is in a section by name,
    and there the compiler puts no redzones around variables: KASAN has nothing to see. UBSAN knows the array's size.
    It reports a place once a boot (lib/ubsan.c, was_reported()), so that the next bad event passes in silence.
    """
    needs(kernel.option("CONFIG_UBSAN_BOUNDS") == "y", "CONFIG_UBSAN_BOUNDS is not set")
    bound = items.NR_VM_EVENT_ITEMS
    logs = [
        called(vm, memcg, kfuncs, bound + distance, consoles / f"event-past-the-end-by-{distance}.txt")
        for distance in PAST_THE_END
    ]
    assert "UBSAN: array-index-out-of-bounds" in logs[0], (
        f"event {bound}: expected UBSAN to report it, seen:\n{logs[0]}"
    )
    assert f"index {bound} is out of range for type 'u8 [{bound}]'" in logs[0], f"expected the array, seen:\n{logs[0]}"
    assert "memcg_events" in logs[0], f"event {bound}: expected memcg_events() in the trace, seen:\n{logs[0]}"
    for distance, log in zip(PAST_THE_END, logs, strict=True):
        assert "KASAN" not in log, f"event {bound + distance}: KASAN was expected to see nothing, seen:\n{log}"
    assert not any("UBSAN" in log for log in logs[1:]), f"expected UBSAN to speak once, seen:\n{logs[1:]}"


@pytest.mark.expect_splat("oops", match="RIP: 0010:memcg_events")
@pytest.mark.expect_splat("warn", match="exit_tasks_rcu_finish")
@pytest.mark.parametrize("name", FAR)
def test_a_far_event_is_an_oops(
    request: pytest.FixtureRequest, vm: Vm, kernel: Kernel, memcg: Memcg, kfuncs: Kfuncs, name: str, consoles: Path
) -> None:
    """Nothing is mapped there: neither the byte, nor KASAN's shadow of it. UBSAN says first that the index is none; and
    since the process dies inside of a sleepable BPF program, RCU misses the end of its read side (kernel/rcu/tasks.h).
    """
    if kernel.option("CONFIG_UBSAN_BOUNDS") == "y":
        request.applymarker(pytest.mark.expect_splat("ubsan", match="array-index-out-of-bounds"))
    log = called(vm, memcg, kfuncs, FAR[name], consoles / f"event-{name.replace(' ', '-')}.txt")
    assert "Oops: general protection fault" in log, f"event {FAR[name]}: expected an oops, seen:\n{log or '(nothing)'}"
    assert "KASAN: probably user-memory-access" in log, f"event {FAR[name]}: expected KASAN to explain it, seen:\n{log}"
    assert "RIP: 0010:memcg_events" in log, f"event {FAR[name]}: expected it in memcg_events(), seen:\n{log}"
