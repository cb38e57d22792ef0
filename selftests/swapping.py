# SPDX-License-Identifier: GPL-2.0-only
"""Somewhere to swap to: a disk in memory. zswap is off meanwhile, unless a test turns it on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from kfunctest.guest import cgroup, disks
from kfunctest.kernels.model import Kernel
from kfunctest.machine.vm import Vm
from kfunctest.plugin.applicable import needs

#: Whether zswap takes pages on their way to the disk.
ZSWAP: Final = "/sys/module/zswap/parameters/enabled"


@contextmanager
def swap_disk(vm: Vm, kernel: Kernel, size: int) -> Iterator[None]:
    """Swap to a disk of ``size`` bytes, and to none in the end."""
    for option in ("CONFIG_SWAP", "CONFIG_ZRAM"):
        needs(kernel.option(option) in ("y", "m"), f"{option} is not set")
    zswap, was = kernel.option("CONFIG_ZSWAP") == "y", ""
    if zswap:
        was = vm.call(cgroup.read_file, ZSWAP).strip()
        vm.call(cgroup.write_file, ZSWAP, "N")
    device = vm.call_within(30, disks.add, size)
    vm.call_within(30, disks.swap_on, device, size)
    try:
        yield
    finally:
        if not vm.lost:
            vm.call_within(30, disks.swap_off, device)
            vm.call(disks.remove, device)
            if zswap:
                vm.call(cgroup.write_file, ZSWAP, was)
