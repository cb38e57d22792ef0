# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's log as /dev/kmsg gives it: every record, at every level, with its sequence number."""

from __future__ import annotations

import os
import time

DEVICE = "/dev/kmsg"
#: What must be so for the log to be followed.
REMEDY = "boot without printk.devkmsg=off a kernel that has CONFIG_PRINTK=y, outside of a container"
TAINTED = "/proc/sys/kernel/tainted"
#: Lets each WARN_ONCE() and pr_warn_once() speak once more: Documentation/admin-guide/clearing-warn-once.rst.
CLEAR_WARN_ONCE = "/sys/kernel/debug/clear_warn_once"
#: Bytes of the longest record: CONSOLE_EXT_LOG_MAX, include/linux/printk.h.
_RECORD = 8192
#: Bytes that one answer holds at most.
_ANSWER = 1 << 19
#: Seconds after which a mark that was written must be readable.
_SHOWS = 2.0
#: Seconds in which a storm of messages logs one more.
_MOMENT = 0.05
#: What a try to read that finds its record overwritten counts, in bytes: a storm may be faster than any reader.
_OVERTAKEN = 1 << 10


class LogClosed(Exception):
    """The log does not show what was written to it: ``printk.devkmsg=off``, or a kernel that keeps none."""


def follow(whole: bool) -> tuple[int, int]:
    """Open the log, to be read from its very first record (``whole``), or from now on.

    Returns a handle, and the sequence number that comes next. Raises LogClosed.
    """
    reader = os.open(DEVICE, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return reader, 0 if whole else _next(reader)
    except BaseException:
        os.close(reader)
        raise


def _next(reader: int) -> int:
    os.lseek(reader, 0, os.SEEK_END)
    mark = f"kfunctest: follows from {time.monotonic_ns()}"
    _write(mark)
    records = _read(reader, mark.encode())[0]
    last = records[records.rindex(b"\n", 0, -1) + 1 :] if records.count(b"\n") > 1 else records
    return int(last.split(b",", 2)[1]) + 1


def close(reader: int) -> None:
    """Forget the handle."""
    os.close(reader)


def look(reader: int, mark: str, rearm: bool) -> tuple[bytes, bool, int, bool]:
    """Write ``mark`` (one line, 900 bytes at most) to the log, at level 6, and read the log up to it.

    With ``rearm``, warnings that speak once a boot may speak again, if the kernel said anything since the last time.
    Returns the records as they are, whether the mark is among them (if not, :func:`rest` has more), the taint mask, and
    False where rearming was impossible. Raises LogClosed.
    """
    _write(mark)
    records, found, spoke = _read(reader, mark.encode())
    armed = not (rearm and spoke) or _rearm()
    with open(TAINTED, "rb", buffering=0) as file:
        tainted = int(file.read(32))
    return records, found, tainted, armed


def rest(reader: int, mark: str) -> tuple[bytes, bool]:
    """Go on reading up to a mark that was written before."""
    return _read(reader, mark.encode())[:2]


def passing() -> int | None:
    """The sequence number of a record that is logged while we look, or None where none is within a moment.

    Whatever was written before has a lower one.
    """
    reader = os.open(DEVICE, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        os.lseek(reader, 0, os.SEEK_END)
        deadline = time.monotonic() + _MOMENT
        while time.monotonic() < deadline:
            try:
                return int(os.read(reader, _RECORD).split(b",", 2)[1])
            except (BlockingIOError, BrokenPipeError):
                time.sleep(0.001)
        return None
    finally:
        os.close(reader)


def _write(mark: str) -> None:
    # A new writer for each: the kernel drops what one says too often (kernel/printk/printk.c, devkmsg_write()).
    with open(DEVICE, "wb", buffering=0) as log:
        log.write(b"<6>" + mark.encode() + b"\n")


def _read(reader: int, mark: bytes) -> tuple[bytes, bool, bool]:
    """What the log has up to the mark, whether that was reached, and whether the kernel itself said any of it."""
    records = []
    size = 0
    spoke = False
    deadline = 0.0
    while size < _ANSWER:
        try:
            record = os.read(reader, _RECORD)
        except BrokenPipeError:
            spoke = True  # overwritten; the sequence numbers tell how many
            size += _OVERTAKEN
            continue
        except BlockingIOError:
            # Another CPU is in the middle of a record before ours.
            deadline = deadline or time.monotonic() + _SHOWS
            if time.monotonic() > deadline:
                raise LogClosed(f"what is written to {DEVICE} does not appear there") from None
            time.sleep(0.001)
            continue
        records.append(record)
        size += len(record)
        if mark in record:
            return b"".join(records), True, spoke
        # The priority's low three bits are the level, the rest is 0 for the kernel alone.
        spoke = spoke or int(record[: record.index(b",")]) < 8
    return b"".join(records), False, True


def _rearm() -> bool:
    try:
        with open(CLEAR_WARN_ONCE, "wb", buffering=0) as file:
            file.write(b"1")
    except OSError:
        return False
    return True
