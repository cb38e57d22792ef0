# SPDX-License-Identifier: GPL-2.0-only
"""A suite in which one thing goes wrong, between tests that must be judged all the same.

Its name is none that pytest collects by itself: tests/faults/ runs it in a pytest of its own, some tests at a time.
"""

from __future__ import annotations

import os
import signal
import time

import pytest

from kfunctest.guest import agent, crash_triggers
from kfunctest.machine.kfuncs import Kfuncs
from kfunctest.machine.memcg import Memcg
from kfunctest.machine.vm import Vm
from tests.faults.processes import qemu

pytestmark = pytest.mark.kfunc

MiB = 1 << 20
#: Seconds with KVM that a request may take which is not going to be answered.
PATIENCE = 1.0


def test_before(vm: Vm, memcg: Memcg, kfuncs: Kfuncs) -> None:
    """What a test usually does: boot or find a VM, make a memcg in it, load BPF, read."""
    assert_usage_is_current(memcg, kfuncs)


def test_after(vm: Vm, memcg: Memcg, kfuncs: Kfuncs) -> None:
    assert_usage_is_current(memcg, kfuncs)


def assert_usage_is_current(memcg: Memcg, kfuncs: Kfuncs) -> None:
    memcg.charge_anon(4 * MiB)
    assert kfuncs.usage(memcg) >= 4 * MiB


def test_panic(vm: Vm) -> None:
    vm.call(crash_triggers.sysrq, "c")


def test_oops(vm: Vm) -> None:
    vm.call(crash_triggers.provoke, "EXCEPTION")


def test_oops_survived(vm: Vm) -> None:
    """The test itself is content: what makes it fail is what the kernel said."""
    vm.call(crash_triggers.survive_oopses)
    assert vm.call(crash_triggers.provoke_in_child, "EXCEPTION") != 0


def test_oops_of_agent(vm: Vm) -> None:
    vm.call(crash_triggers.survive_oopses)
    vm.call(crash_triggers.provoke, "EXCEPTION")


def test_irqs_off(vm: Vm) -> None:
    vm.call_within(PATIENCE, crash_triggers.provoke, "HARDLOCKUP")


def test_soft_lockup(vm: Vm) -> None:
    vm.call(crash_triggers.watch_closely)
    vm.call(crash_triggers.provoke, "SOFTLOCKUP")


def test_hung_task(vm: Vm) -> None:
    vm.call(crash_triggers.lose_patience_with_tasks)
    vm.call(crash_triggers.provoke, "HUNG_TASK")


def test_agent_killed(vm: Vm) -> None:
    vm.call(crash_triggers.end_agent, int(signal.SIGKILL))


def test_agent_stopped(vm: Vm) -> None:
    vm.call_within(PATIENCE, crash_triggers.end_agent, int(signal.SIGSTOP))


def test_out_of_memory(vm: Vm) -> None:
    vm.call(crash_triggers.eat_memory)


def test_channel_garbled(vm: Vm) -> None:
    vm.call(crash_triggers.garble_channel, 4096)


def test_console_flooded(vm: Vm) -> None:
    assert vm.call_within(60, crash_triggers.flood_console, 10 * MiB) == -(-10 * MiB // crash_triggers.LINE)


def test_qemu_killed(vm: Vm) -> None:
    os.kill(qemu(os.getpid()), signal.SIGKILL)
    vm.call(agent.ping)


def test_qemu_stopped(vm: Vm) -> None:
    os.kill(qemu(os.getpid()), signal.SIGSTOP)
    vm.call_within(PATIENCE, agent.ping)


def test_run_killed(vm: Vm) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


@pytest.mark.boot(append=["root=/dev/nothing", "rootwait"])
def test_never_boots(vm: Vm) -> None:
    """The kernel waits for a disk that does not come."""


@pytest.mark.boot(append=["rootfstype=nothing"])
def test_no_root(vm: Vm) -> None:
    """The kernel panics for its command line."""


@pytest.mark.boot(append=["lkdtm.cpoint_name=DIRECT", "lkdtm.cpoint_type=BUG"])
def test_boot_panic(vm: Vm) -> None:
    """The kernel dies of itself before there is an agent."""
