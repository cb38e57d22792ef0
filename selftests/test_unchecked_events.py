# SPDX-License-Identifier: GPL-2.0-only
"""What bpf_mem_cgroup_vm_events() of the series as posted does with an event that does not exist.

Under v2 nothing between the program and the array checks the event: the verifier takes an enum for a plain scalar
(kernel/bpf/verifier.c, check_kfunc_args()), the kfunc hands it on, and memcg_events() takes it for an index
(mm/memcontrol.c). So these tests make a kernel read out of bounds, and run on request only: ``-m evidence``, on a
kernel with KASAN, which says whether it did. docs/evidence.md quotes what they saw.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import Items
from kfunctest.contract import Contract
from kfunctest.guest import agent
from kfunctest.kernels.model import Kernel
from kfunctest.plugin.applicable import needs
from kfunctest.target.kernel_log import CLEAR_WARN_ONCE, logged
from kfunctest.target.kfuncs import INT_MAX, INT_MIN, Call, Kfuncs, Killed
from kfunctest.target.memcg import Memcg
from kfunctest.target.vm import Vm

pytestmark = [
    pytest.mark.kfunc(name="vm_events"),
    pytest.mark.evidence,
    # The oops must be survived to be read, and the next event to be tried.
    pytest.mark.boot(without=("oops=panic",)),
]

#: Events that do not exist, as distances from NR_VM_EVENT_ITEMS or as they are, and what KASAN calls the read.
PAST_THE_END = (0, 1, 16)
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
            return f"returned {kfuncs.batch_apart(memcg, [Call('VM_EVENTS', event)])[0]}"
        except Killed as killed:
            return str(killed)

    vm.call(agent.write_text, CLEAR_WARN_ONCE, "1\n")
    result, log = logged(vm, call)
    evidence.write_text(f"bpf_mem_cgroup_vm_events(memcg, {event}) {result}; the kernel logged:\n{log.strip()}\n")
    return log


@pytest.mark.parametrize("distance", PAST_THE_END)
def test_an_event_just_past_the_last_reads_out_of_bounds(
    vm: Vm, memcg: Memcg, kfuncs: Kfuncs, items: Items, distance: int, consoles: Path
) -> None:
    """The array of indexes has NR_VM_EVENT_ITEMS entries: KASAN guards what follows it."""
    event = items.NR_VM_EVENT_ITEMS + distance
    log = called(vm, memcg, kfuncs, event, consoles / f"event-past-the-end-by-{distance}.txt")
    assert "BUG: KASAN: global-out-of-bounds" in log, (
        f"event {event}: expected KASAN to report a global out of bounds, the kernel logged:\n{log or '(nothing)'}"
    )
    assert "mem_cgroup_events_index" in log, f"event {event}: expected the report to name the array, seen:\n{log}"


@pytest.mark.parametrize("name", FAR)
def test_a_far_event_reads_what_nobody_mapped(vm: Vm, memcg: Memcg, kfuncs: Kfuncs, name: str, consoles: Path) -> None:
    """Gigabytes away from the array: no redzone there, and no memory either."""
    log = called(vm, memcg, kfuncs, FAR[name], consoles / f"event-{name.replace(' ', '-')}.txt")
    assert "Oops" in log, f"event {FAR[name]}: expected an oops, the kernel logged:\n{log or '(nothing)'}"
