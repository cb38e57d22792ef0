# SPDX-License-Identifier: GPL-2.0-only
"""What runs in a guest beside the agent: nothing that would count where no test knows of it."""

from __future__ import annotations

from contextlib import suppress

import pytest

from kfunctest.errors import GuestError
from kfunctest.guest import agent, disks
from kfunctest.target.memcg import MiB
from kfunctest.target.vm import Vm

pytestmark = pytest.mark.vm


def test_a_disk_that_comes_starts_no_process(vm: Vm) -> None:
    """Its workers would end some seconds later, and count pages as activated: kfunctest/guest/boot/udevadm."""
    device = vm.call_within(30, disks.add, 8 * MiB)
    found = processes(vm)
    vm.call(disks.remove, device)
    assert not [name for name in found if "udev" in name], f"expected no udev in a guest with a new disk, seen {found}"


def processes(vm: Vm) -> list[str]:
    """Names of the guest's processes, the oldest first."""
    newest = int(vm.call(agent.read_text, "/proc/loadavg").split()[-1])
    found = []
    for pid in range(1, newest + 1):
        with suppress(GuestError):
            found.append(vm.call(agent.read_text, f"/proc/{pid}/comm").strip())
    return found
