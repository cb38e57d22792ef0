# SPDX-License-Identifier: GPL-2.0-only
"""How the kernel finds what to reclaim: by an active and an inactive list, or by generations (MGLRU)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from kfunctest.guest import cgroup
from kfunctest.kernels.model import Kernel
from kfunctest.machine.vm import Vm
from kfunctest.plugin.applicable import needs

TWO_LISTS: Final = "two lists"
GENERATIONS: Final = "generations"
#: Whether it goes by generations.
ENABLED: Final = "/sys/kernel/mm/lru_gen/enabled"


@contextmanager
def aged_by(vm: Vm, kernel: Kernel, how: str) -> Iterator[str]:
    """Have it go by TWO_LISTS or GENERATIONS, and as before in the end. Not applicable where it cannot."""
    built = kernel.option("CONFIG_LRU_GEN") == "y"
    needs(built or how == TWO_LISTS, "CONFIG_LRU_GEN is not set")
    if not built:
        yield how
        return
    was = vm.call(cgroup.read_file, ENABLED).strip()
    vm.call(cgroup.write_file, ENABLED, "y" if how == GENERATIONS else "n")
    try:
        yield how
    finally:
        if not vm.lost:
            vm.call(cgroup.write_file, ENABLED, was)
