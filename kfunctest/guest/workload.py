# SPDX-License-Identifier: GPL-2.0-only
"""What a worker can do in its memcg. Each function returns one number: what it did, in the unit its docstring names."""

from __future__ import annotations

import mmap
import os

_PAGE = mmap.PAGESIZE
#: Write to every page of a mapping as if it were touched (Linux 5.14, asm-generic/mman-common.h).
_MADV_POPULATE_WRITE = 23
#: Not needed soon (Linux 5.4, the same file).
_MADV_COLD = 20
_kept: dict[str, list[mmap.mmap]] = {"anon": [], "shmem": [], "file": []}


def ping() -> int:
    """Nothing; returns the worker's process id."""
    return os.getpid()


def charge_anon(size: int) -> int:
    """Touch ``size`` bytes of fresh private memory in small pages and keep them. Returns the bytes touched."""
    area = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    area.madvise(mmap.MADV_NOHUGEPAGE)
    _populate(area)
    _kept["anon"].append(area)
    return size


def release_anon() -> int:
    """Unmap what charge_anon() kept. Returns the bytes unmapped."""
    return _release("anon")


def charge_shmem(size: int) -> int:
    """Touch ``size`` bytes of a shared anonymous mapping (tmpfs pages, charged as shmem) and keep them."""
    area = mmap.mmap(-1, size, flags=mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)
    _populate(area)
    _kept["shmem"].append(area)
    return size


def release_shmem() -> int:
    """Unmap what charge_shmem() kept. Returns the bytes unmapped."""
    return _release("shmem")


def fault(pages: int) -> int:
    """Take one minor fault for each of ``pages`` fresh pages, then unmap them. Returns the faults taken at least."""
    with mmap.mmap(-1, pages * _PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as area:
        area.madvise(mmap.MADV_NOHUGEPAGE)
        for offset in range(0, len(area), _PAGE):
            area[offset] = 1
    return pages


def write_file(path: str, size: int) -> int:
    """Write ``size`` bytes to ``path``, which stays. Returns the bytes written.

    On a tmpfs, as virtme-ng's writable folders are, these pages are charged as shmem.
    """
    with open(path, "wb") as file:
        return file.write(b"\1" * size)


def pin(cpu: int) -> int:
    """Stay on this CPU from now on. Returns its number."""
    os.sched_setaffinity(0, {cpu})
    return cpu


def fork_children(count: int) -> int:
    """Start ``count`` processes that sleep in the same memcg until the worker ends. Returns ``count``."""
    read, _keeps_them_waiting = os.pipe()
    for _ in range(count):
        if os.fork() == 0:
            os.close(_keeps_them_waiting)
            os.read(read, 1)
            os._exit(0)
    os.close(read)
    return count


def map_file(path: str, size: int) -> int:
    """Fault in the first ``size`` bytes of a file through a mapping, and keep them. Returns ``size``.

    What of it was in memory is dropped before, so its page cache is charged to this memcg. Reading would not do:
    virtme-ng's 9p keeps no cache of what is read.
    """
    with open(path, "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        _kept["file"].append(mmap.mmap(file.fileno(), size, mmap.MAP_PRIVATE, mmap.PROT_READ))
    return touch_file()


def touch_file() -> int:
    """Fault in again what map_file() kept, so that only the page cache holds it afterwards. Returns the bytes."""
    area = _kept["file"][-1]
    for offset in range(0, len(area), _PAGE):
        area[offset]
    area.madvise(mmap.MADV_DONTNEED)
    return len(area)


def cool_file() -> int:
    """Map what map_file() kept, and tell the kernel that it is not needed soon. Returns the bytes."""
    area = _kept["file"][-1]
    for offset in range(0, len(area), _PAGE):
        area[offset]
    area.madvise(_MADV_COLD)
    return len(area)


def make_names(folder: str, count: int) -> int:
    """Give one new file of a new ``folder`` on a tmpfs ``count`` names: each is a dentry. Returns ``count``."""
    os.mkdir(folder)
    os.close(os.open(f"{folder}/0", os.O_CREAT))
    for number in range(1, count):
        os.link(f"{folder}/0", f"{folder}/{number}")
    return count


def remove_names(folder: str, count: int) -> int:
    """Remove them again. Returns ``count``."""
    for number in range(count):
        os.unlink(f"{folder}/{number}")
    os.rmdir(folder)
    return count


def write_memory_of(pid: int, address: int, size: int) -> int:
    """Write to each page of another process's memory. Returns how many there were."""
    with open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
        for at in range(address, address + size, _PAGE):
            memory.seek(at)
            memory.write(b"\1")
    return size // _PAGE


def _populate(area: mmap.mmap) -> None:
    # The kernel's own loop over the pages: a third of the time that as many exceptions take under TCG.
    area.madvise(_MADV_POPULATE_WRITE)


def _release(kind: str) -> int:
    size = 0
    while _kept[kind]:
        area = _kept[kind].pop()
        size += len(area)
        area.close()
    return size
