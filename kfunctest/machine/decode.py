# SPDX-License-Identifier: GPL-2.0-only
"""Addresses in a kernel's complaints as places in its source, where its vmlinux is at hand."""

from __future__ import annotations

import re
import struct
from collections import defaultdict
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from kfunctest import proc
from kfunctest.errors import KfunctestError

#: Seconds that addr2line may take for one complaint: it reads a line table of some 100 MB.
DECODE_SECONDS = 60.0
#: As %pS prints: the symbol, how far into it, and its size. One of a module is followed by its name.
_PLACE = re.compile(r"\b([A-Za-z_][\w.]*)\+0x([0-9a-f]+)/0x([0-9a-f]+)\b(?! \[)")
#: In a stack, what is below the first frame is where a call returns to: the call itself is before it.
_RIP = re.compile(r"RIP: |WARNING: |BUG: ")
#: A function whose file is known, so that the build's folder can be told from the kernel's own.
_KNOWN, _KNOWN_FILE = "start_kernel", "init/main.c"
_FUNCTION = 2  # STT_FUNC
#: Bytes between two functions at most: 16 for the compiler's patchable prefix, and the alignment to 64.
_PADDING = 128


def decoded(text: str, vmlinux: Path | None) -> str:
    """``text`` with file and line behind each symbol of the kernel proper; unchanged where that cannot be told."""
    if vmlinux is None or not _PLACE.search(text):
        return text
    try:
        return _decoded(text, vmlinux)
    except (KfunctestError, OSError, ELFError, ValueError, struct.error):
        return text  # a place in the source is a help to the reader, and no reason to lose the complaint


def _decoded(text: str, vmlinux: Path) -> str:
    symbols = _symbols(vmlinux)
    wanted: dict[tuple[str, str, str], int] = {}
    for line in text.splitlines():
        back = 0 if _RIP.search(line) else 1
        for name, offset, size in _PLACE.findall(line):
            if (start := _start(symbols.get(name, ()), int(size, 16))) is not None:
                wanted.setdefault((name, offset, size), start + int(offset, 16) - back)
    known = _start(symbols.get(_KNOWN, ()), 0)
    asked = [*([known] if known is not None else []), *wanted.values()]
    answers = _lines(vmlinux, asked)
    top = answers.pop(0)[0].partition(":")[0].removesuffix(_KNOWN_FILE) if known is not None else ""
    in_tree = ([line.removeprefix(top) for line in answer] for answer in answers)
    # Of a chain of inlined functions the two ends: what was done, and for whom.
    places = dict(zip(wanted, (" in ".join(dict.fromkeys((lines[0], lines[-1]))) for lines in in_tree), strict=True))

    def placed(match: re.Match[str]) -> str:
        place = places.get((match[1], match[2], match[3]), "?")
        return match[0] if "?" in place else f"{match[0]} ({place})"

    return _PLACE.sub(placed, text)


def _lines(vmlinux: Path, addresses: Iterable[int]) -> list[list[str]]:
    """``file:line`` of each address, or ``??:0``; of what is inlined, the callers follow.

    Raises KfunctestError where addr2line is missing or fails.
    """
    argv = [proc.need("addr2line"), "-a", "-i", "-e", str(vmlinux), *(f"{address:#x}" for address in addresses)]
    found: list[list[str]] = []
    for line in proc.run(argv, seconds=DECODE_SECONDS).stdout.splitlines():
        if line.startswith("0x"):
            found.append([])
        else:
            found[-1].append(line.partition(" ")[0])
    return found


@lru_cache(maxsize=4)
def _symbols(vmlinux: Path) -> dict[str, tuple[tuple[int, int], ...]]:
    """Where each function begins and how many bytes it has, by name; several may share one."""
    found: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    with vmlinux.open("rb") as file:
        elf = ELFFile(file)
        table = elf.get_section_by_name(".symtab")
        if table is None:
            return {}
        names = elf.get_section(table["sh_link"]).data()
        # Its own reader makes an object of each of 150 000 symbols, which takes seconds.
        for name, info, _other, _section, value, size in struct.iter_unpack("<IBBHQQ", table.data()):
            if info & 0xF == _FUNCTION:
                found[names[name : names.index(b"\0", name)].decode(errors="replace")].append((value, size))
    return {name: tuple(places) for name, places in found.items()}


def _start(places: tuple[tuple[int, int], ...], printed: int) -> int | None:
    """The one of these places that has the size that was printed; kallsyms counts the padding behind it too."""
    fitting = [start for start, size in places if len(places) == 1 or size <= printed < size + _PADDING]
    return fitting[0] if len(fitting) == 1 else None
