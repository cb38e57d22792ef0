# SPDX-License-Identifier: GPL-2.0-only
"""Kinds of memory beyond the plain ones of ``workload.py``, for a worker; each function returns one number likewise."""

from __future__ import annotations

import _socket
import ctypes
import mmap
import os

_PAGE = mmap.PAGESIZE
#: What one page table maps, and a huge page is, on x86-64.
_PMD = 2 << 20
#: linux/mman.h, asm-generic/mman-common.h; Python has no names for these.
_MAP_LOCKED, _MAP_NORESERVE, _MAP_HUGETLB = 0x2000, 0x4000, 0x40000
_MADV_FREE, _MADV_PAGEOUT, _MADV_POPULATE_WRITE = 8, 21, 23
_PRIVATE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
#: SO_SNDBUFFORCE and SO_RCVBUFFORCE, asm-generic/socket.h: buffers beyond what sysctls allow.
_SNDBUFFORCE, _RCVBUFFORCE = 32, 33

#: What is kept, for the functions here and in workload_huge.py that use it or give it back.
areas: list[mmap.mmap] = []
_files: list[int] = []
_sockets: list[_socket.socket] = []


def map_twice(count: int) -> int:
    """Touch ``count`` pages of shared memory by two mappings, and keep them. Returns ``count``."""
    file = os.memfd_create("kfunctest")
    os.ftruncate(file, count * _PAGE)
    areas.extend(mmap.mmap(file, count * _PAGE) for _ in range(2))
    os.close(file)
    return fault_by_second_mapping() + fault_by_second_mapping(-2) - count


def fault_by_second_mapping(which: int = -1) -> int:
    """Take a fault on each page of what map_twice() mapped: it stays charged and mapped. Returns their number."""
    area = areas[which]
    area.madvise(mmap.MADV_DONTNEED)
    for at in range(0, len(area), _PAGE):
        area[at] = 1
    return len(area) // _PAGE


def charge_hugetlb(count: int) -> int:
    """Touch ``count`` pages of hugetlb, of those that the system has set aside, and keep them. Returns their bytes."""
    area = mmap.mmap(-1, count * _PMD, flags=_PRIVATE | _MAP_HUGETLB)
    areas.append(area)
    for at in range(0, len(area), _PMD):
        area[at] = 1
    return len(area)


def charge_locked(size: int) -> int:
    """Map ``size`` bytes of private memory locked, in small pages. Returns the bytes."""
    area = mmap.mmap(-1, size, flags=_PRIVATE | _MAP_LOCKED)
    areas.append(area)
    return size


def charge_page_tables(count: int, levels: int = 1) -> int:
    """Touch a page in each of ``count`` spans that need page tables of so many ``levels``. Returns ``count``."""
    span = _PMD << 9 * (levels - 1)
    area = mmap.mmap(-1, count * span, flags=_PRIVATE | _MAP_NORESERVE)
    area.madvise(mmap.MADV_NOHUGEPAGE)
    areas.append(area)
    for at in range(0, len(area), span):
        area[at] = 1
    return count


def charge_written(size: int, shared: bool = False) -> int:
    """Write something to each page of ``size`` bytes of memory: none is a page of zeros. Returns the bytes."""
    area = mmap.mmap(-1, size) if shared else mmap.mmap(-1, size, flags=_PRIVATE)
    area.madvise(mmap.MADV_NOHUGEPAGE)
    areas.append(area)
    for at in range(0, size, _PAGE):
        area[at] = 1
    return size


def charge_random(size: int) -> int:
    """Fill ``size`` bytes of private memory with what no compression makes smaller. Returns the bytes."""
    area = mmap.mmap(-1, size, flags=_PRIVATE)
    area.madvise(mmap.MADV_NOHUGEPAGE)
    area.write(os.urandom(size))
    areas.append(area)
    return size


def charge_zeros(size: int) -> int:
    """Have ``size`` bytes of private memory that were never written to: pages of zeros. Returns the bytes."""
    reserve(size)
    areas[-1].madvise(_MADV_POPULATE_WRITE)
    return size


def reserve(size: int) -> int:
    """Map ``size`` bytes of private memory, and touch none of it. Returns the address."""
    area = mmap.mmap(-1, size, flags=_PRIVATE)
    area.madvise(mmap.MADV_NOHUGEPAGE)
    areas.append(area)
    return address(area)


def read_areas() -> int:
    """Read every page that the functions above kept. Returns the bytes."""
    return sum(len(area) for area in areas if [area[at] for at in range(0, len(area), _PAGE)])


def read_areas_from_disk() -> int:
    """The same. Returns how many of the faults were major."""
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_majflt
    read_areas()
    return resource.getrusage(resource.RUSAGE_SELF).ru_majflt - before


def page_out() -> int:
    """Ask for what the functions above kept to be swapped out. Returns the bytes."""
    for area in areas:
        area.madvise(_MADV_PAGEOUT)
    return sum(map(len, areas))


def free_lazily() -> int:
    """Tell the kernel that what the functions above kept may be dropped. Returns the bytes."""
    for area in areas:
        area.madvise(_MADV_FREE)
    return sum(map(len, areas))


def make_holes() -> int:
    """Give back every other page of what the functions above kept. Returns the bytes that are left.

    They are to stay as they are: khugepaged fills such holes where it may.
    """
    for area in areas:
        area.madvise(mmap.MADV_NOHUGEPAGE)
        for at in range(0, len(area), 2 * _PAGE):
            area.madvise(mmap.MADV_DONTNEED, at, _PAGE)
    return sum(map(len, areas)) // 2


def release_areas() -> int:
    """Unmap what the functions above kept. Returns the bytes."""
    size = 0
    while areas:
        size += len(area := areas.pop())
        area.close()
    return size


def open_files(count: int) -> int:
    """Open ``count`` files: each is an object of the slab that cannot be reclaimed. Returns ``count``."""
    import resource

    most = count + 1024
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    _files.extend(os.open("/dev/null", os.O_RDONLY) for _ in range(count))
    return count


def close_files() -> int:
    """Close them again. Returns their number."""
    count = len(_files)
    while _files:
        os.close(_files.pop())
    return count


def send_unread(size: int) -> int:
    """Send ``size`` bytes over TCP to ourselves, where nobody reads them. Returns the bytes sent."""
    listener = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    listener.setsockopt(_socket.SOL_SOCKET, _RCVBUFFORCE, 4 * size)
    listener.bind(("127.0.0.1", 0))
    listener.listen(1)
    sender = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    sender.setsockopt(_socket.SOL_SOCKET, _SNDBUFFORCE, 4 * size)
    sender.connect(listener.getsockname())
    # What socket.accept() calls; the module itself is slow to import.
    receiver = _socket.socket(fileno=listener._accept()[0])  # type: ignore[attr-defined]  # noqa: SLF001
    _sockets.extend((listener, sender, receiver))
    data, sent = b"\1" * (1 << 16), 0
    while sent < size:
        sent += sender.send(data)
    return sent


def close_sockets() -> int:
    """Close them, and with them what was not read. Returns their number."""
    count = len(_sockets)
    while _sockets:
        _sockets.pop().close()
    return count


def map_dirty(path: str, size: int) -> int:
    """Map the first ``size`` bytes of a file for writing, and write to each page. Returns the bytes."""
    with open(path, "r+b") as file:
        area = mmap.mmap(file.fileno(), size)
    areas.append(area)
    for at in range(0, size, _PAGE):
        area[at] = 2
    return size


def sync() -> int:
    """Write back all that is dirty anywhere. Returns 0."""
    os.sync()
    return 0


def fault_in_anew(path: str, size: int) -> int:
    """Drop a clean file from the page cache, and fault it in again page by page. Returns the major faults taken."""
    import resource

    with open(path, "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        area = mmap.mmap(file.fileno(), size, prot=mmap.PROT_READ)
    area.madvise(mmap.MADV_RANDOM)
    areas.append(area)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_majflt
    for at in range(0, size, _PAGE):
        area[at]
    return resource.getrusage(resource.RUSAGE_SELF).ru_majflt - before


def map_sparse(path: str, pages: int, apart: int) -> int:
    """Make a file that is one hole, and read ``pages`` of its pages, each ``apart`` pages from the last.

    Returns ``pages``. They are page cache, and the page cache's index has a node of its own for each that is so far.
    """
    with open(path, "w+b") as file:
        file.truncate(pages * apart * _PAGE)
        area = mmap.mmap(file.fileno(), pages * apart * _PAGE, prot=mmap.PROT_READ)
    area.madvise(mmap.MADV_RANDOM)
    for at in range(0, len(area), apart * _PAGE):
        area[at]
    area.close()
    return pages


def remove_file(path: str) -> int:
    """Remove a file, and with it its page cache. Returns 0."""
    os.unlink(path)
    return 0


def address(area: mmap.mmap) -> int:
    """Where a writable mapping begins."""
    return ctypes.addressof(ctypes.c_char.from_buffer(area))
