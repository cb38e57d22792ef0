# SPDX-License-Identifier: GPL-2.0-only
"""Cgroups in the guest, by path below the cgroup2 mount."""

from __future__ import annotations

import errno
import os
import time

ROOT = "/sys/fs/cgroup"
#: membarrier(2) on x86-64, and its command that synchronize_rcu() answers: kernel/sched/membarrier.c.
_MEMBARRIER, _GLOBAL = 324, 1


def prepare() -> None:
    """Make cgroup2 and its memory controller ready: virtme-ng mounts the file system bare."""
    if not os.path.exists(f"{ROOT}/cgroup.procs"):
        mount("cgroup2", ROOT, "cgroup2")
    if "memory" in read("", "cgroup.controllers").split():
        write("", "cgroup.subtree_control", "+memory")


def create(path: str) -> int:
    """Make the cgroup ``path`` and return its id: the inode number, which bpf_cgroup_from_id() takes."""
    os.mkdir(f"{ROOT}/{path}")
    return os.stat(f"{ROOT}/{path}").st_ino


def create_many(path: str, count: int) -> None:
    """Make the cgroups ``0``, ``1``, ... below ``path``."""
    for number in range(count):
        os.mkdir(f"{ROOT}/{path}/{number}")


def remove_many(path: str, count: int) -> None:
    """Remove what :func:`create_many` made."""
    for number in range(count):
        os.rmdir(f"{ROOT}/{path}/{number}")


def identity(path: str) -> int:
    """The cgroup's id."""
    return os.stat(f"{ROOT}/{path}").st_ino


def delegate_memory(path: str) -> None:
    """Give the children of ``path`` a memory controller of their own."""
    write(path, "cgroup.subtree_control", "+memory")


def remove(path: str, seconds: float) -> None:
    """Remove the cgroup. A killed process leaves it a moment after its exit, so EBUSY is waited out for ``seconds``."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            os.rmdir(f"{ROOT}/{path}")
            return
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.005)


def grace_period() -> None:
    """Wait for an RCU grace period, where the kernel lets us.

    Not without CONFIG_MEMBARRIER, nor with nohz_full, nor while only one CPU is online (kernel/sched/membarrier.c).
    """
    import ctypes

    ctypes.CDLL(None).syscall(_MEMBARRIER, _GLOBAL, 0, 0)


def read(path: str, file: str) -> str:
    """A file of the cgroup, whole."""
    with open(f"{ROOT}/{path}/{file}") as handle:
        return handle.read()


def files(path: str) -> list[str]:
    """Names of the cgroup's files and children."""
    return os.listdir(f"{ROOT}/{path}")


def write(path: str, file: str, text: str) -> None:
    """Write ``text`` to a file of the cgroup in one go."""
    with open(f"{ROOT}/{path}/{file}", "w") as handle:
        handle.write(text)


def read_file(path: str) -> str:
    """A file anywhere, whole, such as one of sysfs."""
    with open(path) as handle:
        return handle.read()


def write_file(path: str, text: str) -> None:
    """Write ``text`` to a file anywhere in one go."""
    with open(path, "w") as handle:
        handle.write(text)


def read_keys(path: str, file: str) -> dict[str, int]:
    """A flat-keyed file such as memory.stat, as numbers by key."""
    return {key: int(value) for key, value in (line.split() for line in read(path, file).splitlines())}


def mount(source: str, place: str, kind: str, flags: int = 0) -> None:
    """Mount a file system, or a file or folder with MS_BIND, without options. Raises OSError."""
    import ctypes  # slow to load under TCG, and some do without

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(source.encode(), place.encode(), kind.encode(), ctypes.c_ulong(flags), None):
        raise OSError(ctypes.get_errno(), f"mount -t {kind}", place)
