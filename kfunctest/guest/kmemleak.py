# SPDX-License-Identifier: GPL-2.0-only
"""kmemleak, the kernel's search for memory that nothing points to any more (Documentation/dev-tools/kmemleak.rst)."""

from __future__ import annotations

import time

FILE = "/sys/kernel/debug/kmemleak"
#: Seconds that an object must have lived when the scan begins that reports it, and some (mm/kmemleak.c, MSECS_MIN_AGE).
OLD_ENOUGH = 5.5
#: Characters of objects that are returned.
_ENOUGH = 1 << 15


def hold() -> None:
    """Let it scan on request only: by itself it speaks ten minutes late, during a test that has leaked nothing.

    Raises OSError where it cannot be told.
    """
    _tell("scan=off")


def scan() -> str:
    """Let it scan, and return what it has reported since the boot, each object with the stack that allocated it.

    It counts in the kernel's log what is new. Two scans: the first one only takes a checksum of what nothing points to,
    and the second reports what has not changed since. Raises OSError where it does not run.
    """
    began = time.monotonic()
    _tell("scan")
    time.sleep(max(0.0, OLD_ENOUGH - (time.monotonic() - began)))
    _tell("scan")
    with open(FILE, errors="backslashreplace") as file:
        return file.read(_ENOUGH)


def _tell(what: str) -> None:
    with open(FILE, "wb", buffering=0) as file:
        file.write(what.encode())
