# SPDX-License-Identifier: GPL-2.0-only
"""The build ID of a kernel: the linker's digest of the whole vmlinux, which tells two kernels of one release apart.

It is an ELF note, in the section .notes of the image's vmlinux, and in /sys/kernel/notes of the kernel that runs.
(kernel/ksysfs.c: notes_read; the kernel's Makefile: --build-id=sha1)
"""

from __future__ import annotations

import struct

_NT_GNU_BUILD_ID = 3


def find(notes: bytes) -> str:
    """The build ID among ELF notes, in hexadecimal; empty where there is none (--build-id=none)."""
    at = 0
    while at + 12 <= len(notes):
        name_size, size, kind = struct.unpack_from("<III", notes, at)
        name_at = at + 12
        content_at = name_at + (name_size + 3 & ~3)
        if kind == _NT_GNU_BUILD_ID and notes[name_at : name_at + name_size] == b"GNU\0":
            return notes[content_at : content_at + size].hex()
        at = content_at + (size + 3 & ~3)
    return ""
