# SPDX-License-Identifier: GPL-2.0-only
"""Transparent huge pages, for a worker; each function returns one number, as those of ``workload.py`` do.

A worker has none that it did not ask for: where they are on for everything, as many distributions have them, khugepaged
would put the interpreter's own memory into one, 2 MiB that nobody expects in the memcg, at whatever time.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from contextlib import contextmanager

from kfunctest.guest.workload_kinds import address, areas

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

#: What a huge page is on x86-64.
PMD = 2 << 20
#: linux/mman.h has it; Python has no name for it.
_MADV_COLLAPSE = 25
#: linux/prctl.h; the flag since 6.18.
_PR_SET_THP_DISABLE, _PR_GET_THP_DISABLE, _EXCEPT_ADVISED = 41, 42, 1 << 1
#: Looked up once, before any worker is forked: there it would copy pages, and have them charged.
_prctl = ctypes.CDLL(None).prctl


def disallow() -> None:
    """Let this process, and those that it will fork, come by no huge page that it does not ask for.

    On a kernel that cannot tell that apart: by none at all, until it is allowed for a while.
    """
    if _prctl(_PR_SET_THP_DISABLE, 1, _EXCEPT_ADVISED, 0, 0):
        _prctl(_PR_SET_THP_DISABLE, 1, 0, 0, 0)


@contextmanager
def _allowed() -> Iterator[None]:
    if _prctl(_PR_GET_THP_DISABLE, 0, 0, 0, 0) == 1:
        _prctl(_PR_SET_THP_DISABLE, 0, 0, 0, 0)
    try:
        yield
    finally:
        disallow()


def charge_huge(count: int) -> int:
    """Touch ``count`` huge pages of private memory and keep them. Returns their bytes, if the kernel had so many."""
    area = mmap.mmap(-1, (count + 1) * PMD, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    area.madvise(mmap.MADV_HUGEPAGE)
    areas.append(area)
    # The first touch of each huge page; what the area's unaligned ends hold is touched nowhere.
    start = -address(area) % PMD
    with _allowed():
        for at in range(start, start + count * PMD, PMD):
            area[at] = 1
    return count * PMD


def collapse(count: int, shared: bool) -> int:
    """Fill ``count`` huge pages' worth of memory with small pages, and have these made huge. Returns the bytes.

    Shared memory is that of a memfd, which is shmem. Only what is aligned in memory and in the file alike can be huge.
    """
    length, size = (count + 1) * PMD, count * PMD
    if shared:
        file = os.memfd_create("collapsed")
        os.ftruncate(file, length + PMD)
        with mmap.mmap(file, length) as probe:
            offset = address(probe) % PMD
        area = mmap.mmap(file, length, offset=offset)  # where the probe was
        os.close(file)
    else:
        area = mmap.mmap(-1, length, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    area.madvise(mmap.MADV_NOHUGEPAGE)
    areas.append(area)
    start = -address(area) % PMD
    for at in range(start, start + size, mmap.PAGESIZE):
        area[at] = 1
    area.madvise(mmap.MADV_HUGEPAGE)
    with _allowed():
        area.madvise(_MADV_COLLAPSE, start, size)
    return size


def map_huge_file(path: str, size: int) -> int:
    """Read the first ``size`` bytes of a clean file anew, in huge pages where that can be. Returns the bytes."""
    with open(path, "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        area = mmap.mmap(file.fileno(), size, prot=mmap.PROT_READ)
    area.madvise(mmap.MADV_HUGEPAGE)
    areas.append(area)
    with _allowed():
        for at in range(0, size, mmap.PAGESIZE):
            area[at]
    return size
