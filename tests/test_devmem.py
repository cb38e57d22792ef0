# SPDX-License-Identifier: GPL-2.0-only
"""The walk to a word of the kernel's memory, on a file that stands for all memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from kfunctest.guest.devmem import DIRECT_MAP, write_words

PRESENT, LARGE = 1, 1 | 1 << 7
#: A page table of four levels, one page each, and the page that it leads to.
TABLES, PAGE = (0x1000, 0x2000, 0x3000, 0x4000), 0x5000
#: 2 MiB that an entry of the third level maps whole.
HUGE = 0x20_0000
ADDRESS = 0xFFFF_E8FF_C040_3018


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    """As much memory as the tables, the page and the 2 MiB need."""
    path = tmp_path / "mem"
    content = bytearray(2 * HUGE)

    def enter(table: int, level: int, address: int, entry: int) -> None:
        at = table + 8 * (address >> 12 + 9 * level & 511)
        content[at : at + 8] = entry.to_bytes(8, "little")

    for level, (table, following) in enumerate(zip(reversed(TABLES), (PAGE, *reversed(TABLES)), strict=False)):
        enter(table, level, ADDRESS, following | PRESENT)
    enter(TABLES[2], 1, ADDRESS + HUGE, HUGE | LARGE)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("address", "place"), [(ADDRESS, PAGE + 0x18), (ADDRESS + HUGE, HUGE + 0x3018)], ids=["page", "2 MiB"]
)
def test_a_word_is_written_where_the_page_table_says(memory: Path, address: int, place: int) -> None:
    before = memory.read_bytes()
    write_words([(address, (1 << 64) - 2)], 0, DIRECT_MAP + TABLES[0], str(memory))
    expected = before[:place] + b"\xfe" + b"\xff" * 7 + before[place + 8 :]
    assert memory.read_bytes() == expected, f"{address:#x} is at {place:#x} of the file; something else was written"


def test_nothing_is_written_when_an_address_is_nowhere(memory: Path) -> None:
    before = memory.read_bytes()
    with pytest.raises(OSError, match="maps nothing at 0xffffe8ffc0404018"):
        write_words([(ADDRESS, 7), (ADDRESS + 0x1000, 7)], 0, DIRECT_MAP + TABLES[0], str(memory))
    assert memory.read_bytes() == before, "one of two addresses was nowhere, and the other was written all the same"
