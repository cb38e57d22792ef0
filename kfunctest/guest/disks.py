# SPDX-License-Identifier: GPL-2.0-only
"""Disks in the guest's memory (zram), to swap to or with a file system on them.

virtme-ng's writable folders are tmpfs, whose pages are charged as shmem: page cache needs a file system of its own.
"""

from __future__ import annotations

import errno
import os
import time

from kfunctest.guest.cgroup import ROOT

_CONTROL = "/sys/class/zram-control"
#: Seconds for which somebody else may have a disk open.
_LOOKED_AT = 20.0
_PAGE = os.sysconf("SC_PAGE_SIZE")


class CommandFailed(Exception):
    """A program of the guest failed; the message holds its command line and status."""


def add(size: int) -> str:
    """Make a disk of ``size`` bytes and return its device. Raises CommandFailed where the kernel has no zram."""
    if not os.path.exists(_CONTROL):
        _run("modprobe", "zram")
    with open(f"{_CONTROL}/hot_add") as control:
        number = int(control.read())
    _write(f"/sys/block/zram{number}/disksize", str(size))
    return f"/dev/zram{number}"


def remove(device: str) -> None:
    """Remove the disk, which nothing of ours may use any more. Whoever looks what is on it has some seconds for that.

    udev opens a disk after each writer's close. Raises OSError (EBUSY) where it stays open.
    """
    _write_when_closed(f"/sys/block/{device.removeprefix('/dev/')}/reset", "1")
    _write_when_closed(f"{_CONTROL}/hot_remove", device.removeprefix("/dev/zram"))


def swap_on(device: str, size: int) -> None:
    """Swap to the whole disk of ``size`` bytes."""
    # union swap_header, linux/swap.h: version 1, the last page's number, no bad pages.
    header = bytearray(_PAGE)
    header[1024:1036] = b"".join(number.to_bytes(4, "little") for number in (1, size // _PAGE - 1, 0))
    header[-10:] = b"SWAPSPACE2"
    with open(device, "r+b") as disk:
        disk.write(header)
    _run("swapon", device)


def swap_off(device: str) -> None:
    """Swap to it no longer; what is there is read back."""
    _run("swapoff", device)


def mount(device: str, folder: str) -> None:
    """Put an ext2 file system on the disk and mount it at the new ``folder``."""
    _run("mke2fs", "-q", "-F", "-t", "ext2", device)
    os.mkdir(folder)
    _run("mount", "-t", "ext2", device, folder)


def remount_cgroups(options: str) -> None:
    """Mount cgroup2 anew with these options and no others; none where they are empty."""
    _run("mount", "-t", "cgroup2", "-o", f"remount,{options}".rstrip(","), "cgroup2", ROOT)


def unmount(folder: str) -> None:
    """Unmount it and remove the folder."""
    _run("umount", folder)
    os.rmdir(folder)


def _write_when_closed(path: str, text: str) -> None:
    deadline = time.monotonic() + _LOOKED_AT
    while True:
        try:
            return _write(path, text)
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def _run(*argv: str) -> None:
    environment = {**os.environ, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    program = next(path for path in (f"{d}/{argv[0]}" for d in environment["PATH"].split(":")) if os.path.exists(path))
    status = os.waitstatus_to_exitcode(os.waitpid(os.posix_spawn(program, argv, environment), 0)[1])
    if status:
        raise CommandFailed(f"{' '.join(argv)} ended with status {status}")
