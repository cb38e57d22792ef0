# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's own memory, written through /dev/mem: for a VM whose kernel is ours, and nowhere else."""

from __future__ import annotations

import os

#: Where the kernel maps all physical memory unless it chose a place at boot (Documentation/arch/x86/x86_64/mm.rst).
DIRECT_MAP = 0xFFFF_8880_0000_0000


def write_words(words: list[tuple[int, int]], direct_map: int) -> None:
    """Write 64-bit words, as pairs of address and value modulo 2**64, to memory that kmalloc() gave.

    ``direct_map``: where physical memory is mapped, 0 for its usual place. Raises OSError where the kernel has no
    /dev/mem (CONFIG_DEVMEM) or protects its memory from it (CONFIG_STRICT_DEVMEM).
    """
    memory = os.open("/dev/mem", os.O_WRONLY)
    try:
        for address, value in words:
            os.pwrite(memory, (value % (1 << 64)).to_bytes(8, "little"), address - (direct_map or DIRECT_MAP))
    finally:
        os.close(memory)
