# SPDX-License-Identifier: GPL-2.0-only
"""A kernel that answers no request shows its stacks, also one as a distribution builds it."""

from __future__ import annotations

import signal

import pytest

from kfunctest.errors import VmHung
from kfunctest.guest import crash_triggers
from kfunctest.machine.vm import Vm

pytestmark = pytest.mark.vm


def test_a_hang_shows_stacks(vm: Vm) -> None:
    with pytest.raises(VmHung) as caught:
        vm.call_within(0.5, crash_triggers.end_agent, int(signal.SIGSTOP))
    seen = caught.value.seen
    assert caught.value.what.startswith("during end_agent: no answer within"), caught.value
    assert "(sysrq w, l)" in seen, seen
    assert "sysrq: Show Blocked State" in seen, seen
    assert "NMI backtrace for cpu" in seen, seen
    assert [line.partition(" is at ")[0] for line in seen.splitlines()[: vm.cpus]] == [
        f"CPU {number}" for number in range(vm.cpus)
    ]
    assert vm.lost is caught.value
