# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's own memory, written through /dev/mem: for a VM whose kernel is ours, and nowhere else."""

from __future__ import annotations

import errno
import os
from typing import Final

#: Where the kernel maps all physical memory unless it chose a place at boot (Documentation/arch/x86/x86_64/mm.rst).
DIRECT_MAP: Final = 0xFFFF_8880_0000_0000
#: No map of four levels begins below this; one of five does (the same page).
_FOUR_LEVELS: Final = 0xFFFF_8000_0000_0000
#: Of an entry of a page table: that it is valid, that no level follows, and the address in it (pgtable_types.h).
_PRESENT, _LEAF, _ADDRESS = 1 << 0, 1 << 7, 0x000F_FFFF_FFFF_F000
_PAGE_SHIFT: Final = 12


def write_words(words: list[tuple[int, int]], direct_map: int, page_table: int, device: str = "/dev/mem") -> None:
    """Write 64-bit words, as pairs of address and unsigned value, to any memory of the kernel.

    ``direct_map``: where physical memory is mapped, 0 for its usual place; ``page_table``: an mm's, there. Raises
    OSError where the kernel has no /dev/mem (CONFIG_DEVMEM) or protects its memory from it (CONFIG_STRICT_DEVMEM), and
    for an address where nothing is; then nothing was written.
    """
    base = direct_map or DIRECT_MAP
    levels = 4 if base >= _FOUR_LEVELS else 5
    memory = os.open(device, os.O_RDWR)
    try:
        places = [(_physical(memory, page_table - base, levels, address), value) for address, value in words]
        for place, value in places:
            os.pwrite(memory, value.to_bytes(8, "little"), place)
    finally:
        os.close(memory)


def _physical(memory: int, table: int, levels: int, address: int) -> int:
    """Where ``address`` is, by the page table at ``table``: per-CPU memory is not in the map of all memory."""
    for level in reversed(range(levels)):
        shift = _PAGE_SHIFT + 9 * level
        entry = int.from_bytes(os.pread(memory, 8, table + 8 * (address >> shift & 511)), "little")
        if not entry & _PRESENT:
            raise OSError(errno.EFAULT, f"the kernel maps nothing at {address:#x}")
        if level == 0 or entry & _LEAF:
            within = (1 << shift) - 1
            return entry & _ADDRESS & ~within | address & within
        table = entry & _ADDRESS
    raise AssertionError("not reached: the last level is a leaf")
