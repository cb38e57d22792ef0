# SPDX-License-Identifier: GPL-2.0-only
"""What a worker can do in its memcg. Each function returns one number: what it did, in the unit its docstring names."""

from __future__ import annotations

import mmap
import os

_PAGE = mmap.PAGESIZE
_kept: dict[str, list[mmap.mmap]] = {"anon": [], "shmem": []}


def ping() -> int:
    """Nothing; returns the worker's process id."""
    return os.getpid()


def charge_anon(size: int) -> int:
    """Touch ``size`` bytes of fresh private memory in small pages and keep them. Returns the bytes touched."""
    area = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    area.madvise(mmap.MADV_NOHUGEPAGE)
    _touch(area, size)
    _kept["anon"].append(area)
    return size


def release_anon() -> int:
    """Unmap what charge_anon() kept. Returns the bytes unmapped."""
    return _release("anon")


def charge_shmem(size: int) -> int:
    """Touch ``size`` bytes of a shared anonymous mapping (tmpfs pages, charged as shmem) and keep them."""
    area = mmap.mmap(-1, size, flags=mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)
    _touch(area, size)
    _kept["shmem"].append(area)
    return size


def release_shmem() -> int:
    """Unmap what charge_shmem() kept. Returns the bytes unmapped."""
    return _release("shmem")


def fault(pages: int) -> int:
    """Take one minor fault for each of ``pages`` fresh pages, then unmap them. Returns the faults taken at least."""
    charge_anon(pages * _PAGE)
    _kept["anon"].pop().close()
    return pages


def write_file(path: str, size: int) -> int:
    """Write ``size`` bytes to ``path``, which stays. Returns the bytes written.

    On a tmpfs, as virtme-ng's writable folders are, these pages are charged as shmem.
    """
    with open(path, "wb") as file:
        return file.write(b"\1" * size)


def _touch(area: mmap.mmap, size: int) -> None:
    for offset in range(0, size, _PAGE):
        area[offset] = 1


def _release(kind: str) -> int:
    size = 0
    while _kept[kind]:
        area = _kept[kind].pop()
        size += len(area)
        area.close()
    return size
