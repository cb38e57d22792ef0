# SPDX-License-Identifier: GPL-2.0-only
"""A hierarchy of cgroup v1, mounted over a cgroup of v2: paths below the cgroup2 mount then lead into it."""

from __future__ import annotations

import errno
import os
import time

from kfunctest.guest import cgroup
from kfunctest.guest.cgroup import ROOT


def mount(controller: str, path: str, seconds: float) -> int:
    """Make the cgroup ``path`` and mount the controller's v1 hierarchy over it. Returns the hierarchy's number.

    Removed memcgs that something still holds keep the controller busy for a while: for ``seconds`` that is waited out.
    Raises OSError, with EBUSY when it is used by v2.
    """
    cgroup.create(path)
    deadline = time.monotonic() + seconds
    while True:
        error = _mount(controller, f"{ROOT}/{path}")
        if not error:
            return _number(controller)
        if error != errno.EBUSY or time.monotonic() > deadline:
            os.rmdir(f"{ROOT}/{path}")
            raise OSError(error, f"mount -t cgroup -o {controller}: {os.strerror(error)}")
        time.sleep(0.05)


def unmount(controller: str, path: str, seconds: float) -> bool:
    """The reverse. Returns whether the controller came back to v2 within ``seconds``.

    A hierarchy that is unmounted while a removed cgroup of it is still there lives on (cgroup_kill_sb(),
    kernel/cgroup/cgroup.c): it is mounted and unmounted again until that is gone.
    """
    deadline = time.monotonic() + seconds
    while True:
        cgroup.grace_period()
        _unmount(f"{ROOT}/{path}")
        for _ in range(10):
            if controller in cgroup.read("", "cgroup.controllers").split():
                os.rmdir(f"{ROOT}/{path}")
                return True
            time.sleep(0.05)
        if time.monotonic() > deadline:
            os.rmdir(f"{ROOT}/{path}")
            return False
        _mount(controller, f"{ROOT}/{path}")


def move_agent(path: str) -> None:
    """Move the agent into the cgroup ``path``, in the hierarchy that it belongs to."""
    cgroup.write(path, "cgroup.procs", str(os.getpid()))


def _mount(controller: str, folder: str) -> int:
    import ctypes  # as cgroup.py does, and for the same reason

    libc = ctypes.CDLL(None, use_errno=True)
    return ctypes.get_errno() if libc.mount(b"none", folder.encode(), b"cgroup", 0, controller.encode()) else 0


def _unmount(folder: str) -> None:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.umount(folder.encode()):
        raise OSError(ctypes.get_errno(), f"umount {folder}")


def _number(controller: str) -> int:
    with open("/proc/self/cgroup") as file:
        for line in file:
            number, controllers, _ = line.split(":", 2)
            if controller in controllers.split(","):
                return int(number)
    raise OSError(errno.ENOENT, f"/proc/self/cgroup has no hierarchy of {controller}")
