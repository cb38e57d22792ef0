# SPDX-License-Identifier: GPL-2.0-only
"""What runs in a guest beside the agent: nothing that would count where no test knows of it."""

from __future__ import annotations

import re
import time
from contextlib import suppress

import pytest

from kfunctest.errors import GuestError
from kfunctest.guest import agent, background, disks
from kfunctest.kernels.model import Kernel
from kfunctest.machine.memcg import MiB
from kfunctest.machine.vm import Vm
from kfunctest.wait import wait_until

pytestmark = pytest.mark.vm

#: How often khugepaged looked at everything.
SCANS = f"{background.KHUGEPAGED.rpartition('/')[0]}/full_scans"


def test_a_disk_that_comes_starts_no_process(vm: Vm) -> None:
    """Its workers would end some seconds later, and count pages as activated: kfunctest/guest/boot/udevadm."""
    device = vm.call_within(30, disks.add, 8 * MiB)
    found = processes(vm)
    vm.call(disks.remove, device)
    assert not [name for name in found if "udev" in name], f"expected no udev in a guest with a new disk, seen {found}"


def test_what_the_kernel_does_by_itself_sleeps(vm: Vm, kernel: Kernel) -> None:
    """Each setting that this kernel has, and those that its configuration says it has are there."""
    seen = vm.call(background.values)
    expected = {setting.path: setting.asleep for setting in background.SETTINGS}
    awake = {path: value for path, value in seen.items() if value not in (None, expected[path])}
    assert not awake, f"settings of {kernel.release}: expected {expected} where it has them, seen {awake}"
    there = [name for name, value in seen.items() if value is not None]
    options = {"CONFIG_TRANSPARENT_HUGEPAGE": "khugepaged", "CONFIG_COMPACTION": "proactiveness", "CONFIG_KSM": "ksm"}
    lacking = [
        option
        for option, word in options.items()
        if kernel.option(option) == "y" and not any(word in name for name in there)
    ]
    assert not lacking, f"{kernel.release} has {lacking}, but of its settings we know {there} only"


def test_khugepaged_sleeps_while_it_is_held(vm: Vm) -> None:
    """It looks around no more, though it was frantic before; then it is so again."""
    frantic = {setting.path: setting.frantic for setting in background.SETTINGS}
    before = vm.call(background.change, {background.KHUGEPAGED: frantic[background.KHUGEPAGED]})
    held = vm.call(background.hold, [background.KHUGEPAGED])
    first = vm.call(agent.read_text, SCANS)
    time.sleep(1)
    scans = [first, vm.call(agent.read_text, SCANS)]
    vm.call(background.restore, held)
    awake = vm.call(agent.read_text, background.KHUGEPAGED).strip()
    vm.call(background.restore, before)
    assert scans[0] == scans[1], f"rounds of khugepaged, held still, and a second later: expected as many, seen {scans}"
    assert awake == frantic[background.KHUGEPAGED]


def test_a_frantic_machine_has_all_of_it_awake_and_its_cpus_busy(vm: Vm) -> None:
    vm.call(background.make_frantic)
    vm.spent = "it is frantic"
    frantic = {setting.path: setting.frantic for setting in background.SETTINGS}
    seen = vm.call(background.values)
    asleep = {path: value for path, value in seen.items() if value not in (None, frantic[path])}
    assert not asleep, f"settings of a frantic machine: expected {frantic}, seen {asleep}"
    # A busy process gets to its CPU a moment after it was started.
    wait_until(lambda: idle_within(vm, 0.1) == 0, seconds=vm.stretched(1.0), what="the CPUs to be busy")
    assert (idle := idle_within(vm, 1.0)) == 0, f"ticks that CPUs were idle in a second: expected 0, seen {idle}"


def idle_within(vm: Vm, seconds: float) -> int:
    """For how many ticks of this time CPUs were idle, all together."""
    first = idle_ticks(vm)
    time.sleep(seconds)
    return idle_ticks(vm) - first


def idle_ticks(vm: Vm) -> int:
    """For how many ticks each CPU was idle since the boot, all together."""
    lines = vm.call(agent.read_text, "/proc/stat").splitlines()
    return sum(int(line.split()[4]) for line in lines if re.match(r"cpu\d", line))


def processes(vm: Vm) -> list[str]:
    """Names of the guest's processes, the oldest first."""
    newest = int(vm.call(agent.read_text, "/proc/loadavg").split()[-1])
    found = []
    for pid in range(1, newest + 1):
        with suppress(GuestError):
            found.append(vm.call(agent.read_text, f"/proc/{pid}/comm").strip())
    return found
