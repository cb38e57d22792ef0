# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's log, from /dev/kmsg while the kernel lives, and from the console's file where it does not."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from kfunctest.guest import kmsg
from kfunctest.machine.interface import Target

T = TypeVar("T")

#: A mark that is longer is cut: the kernel takes no more than 1 KiB of a record (kernel/printk, PRINTKRB_RECORD_MAX).
LONGEST_MARK = 300

_ESCAPE = re.compile(rb"\\x([0-9a-f]{2})")
#: A line of the console, with CONFIG_PRINTK_CALLER's thread or CPU.
_CONSOLE = re.compile(r"^\[ *(\d+\.\d+)\](?:\[ *[TC]\d+\])? ?(.*)$")
#: What a console says when it could not keep up (kernel/printk/printk.c, console_prepend_dropped()).
_DROPPED = re.compile(r"^\*\* (\d+) printk messages dropped \*\*")


@dataclass(frozen=True, slots=True)
class Record:
    """One line of the log: seconds since the boot, and whether the kernel itself said it."""

    seconds: float
    text: str
    kernel: bool = True

    def __str__(self) -> str:
        return f"[{self.seconds:12.6f}] {self.text}"


@dataclass(frozen=True, slots=True)
class Slice:
    """A stretch of the log; ``lost`` is how many of its records were overwritten before they were read.

    ``taint`` is the taint mask at its end, None where the kernel could not be asked. ``armed`` is False where warnings
    that speak once a boot should have been armed again and could not be.
    """

    records: tuple[Record, ...]
    lost: int = 0
    taint: int | None = None
    armed: bool = True

    def __str__(self) -> str:
        return "\n".join(map(str, self.records))


def parse(raw: bytes, expected: int) -> tuple[list[Record], int, int]:
    """Records as /dev/kmsg writes them (Documentation/ABI/testing/dev-kmsg), and how many are missing among them.

    ``expected`` is the sequence number that should come first. The last value is the one that comes next.
    """
    found: list[Record] = []
    lost = 0
    for line in raw.split(b"\n"):
        if not line or line.startswith(b" "):
            continue  # a record's dictionary
        prefix, _, text = line.partition(b";")
        priority, number, microseconds = (int(word) for word in prefix.split(b",")[:3])
        lost += number - expected
        expected = number + 1
        # Line feeds and what is not printable come as \xNN.
        plain = _ESCAPE.sub(lambda match: bytes.fromhex(match[1].decode()), text).decode(errors="backslashreplace")
        found += [Record(microseconds / 1e6, part, priority < 8) for part in plain.split("\n")]
    return found, lost, expected


def from_console(text: str) -> tuple[list[Record], int]:
    """What a console shows of the log, and how many records it says to have dropped. Who spoke is not known there."""
    lines = text.splitlines()
    stamped = [match for line in lines if (match := _CONSOLE.match(line))]
    lost = sum(int(match[1]) for line in lines if (match := _DROPPED.match(line)))
    if not stamped:
        return [Record(0.0, line) for line in lines if line], lost
    return [Record(float(match[1]), match[2]) for match in stamped], lost


def clean(mark: str) -> str:
    """``mark`` as one short line of printable ASCII, so that the log and the console show it as it is."""
    plain = "".join(letter if " " <= letter <= "~" and letter != "\\" else "?" for letter in mark)
    return plain if len(plain) <= LONGEST_MARK else f"{plain[: LONGEST_MARK - 3]}..."


class Log:
    """The log of a running kernel, read in slices. ``whole``: the first slice begins with the boot, else now."""

    def __init__(self, target: Target, *, whole: bool = False) -> None:
        self._target = target
        self._reader, self._next = target.call(kmsg.follow, whole)

    def look(self, mark: str, *, rearm: bool = False) -> Slice:
        """Write ``mark``, which must be unlike any before (see :func:`clean`), and return what was logged before it.

        With ``rearm``, warnings that speak once a boot may speak again. Raises GuestError, VmDied and VmHung.
        """
        raw, reached, taint, armed = self._target.call(kmsg.look, self._reader, mark, rearm)
        records, lost, self._next = parse(raw, self._next)
        beyond: int | None = None
        while not reached:
            # A storm of messages may have overwritten the mark, and would be read for ever.
            beyond = self._target.call(kmsg.passing) if beyond is None else beyond
            raw, reached = self._target.call(kmsg.rest, self._reader, mark)
            more, gap, self._next = parse(raw, self._next)
            records += more
            lost += gap
            if not reached and (not raw or (beyond is not None and self._next > beyond)):
                lost, reached = max(lost, 1), True
        return Slice(tuple(record for record in records if record.text != mark), lost, taint, armed)

    def close(self) -> None:
        """Forget the reader there."""
        self._target.call(kmsg.close, self._reader)


@contextmanager
def _following(target: Target) -> Iterator[Log]:
    log = Log(target)
    try:
        yield log
    finally:
        if not target.lost:
            log.close()


def logged(target: Target, action: Callable[[], T]) -> tuple[T, str]:
    """Do ``action``; return its result and what was logged meanwhile, at any level.

    Raises RuntimeError where a part of that was lost.
    """
    with _following(target) as log:
        result = action()
        seen = log.look("kfunctest: looked")
    if seen.lost:
        raise RuntimeError(f"{seen.lost} records of the kernel's log were overwritten before they could be read")
    return result, str(seen)


def shown(records: Iterable[Record], longest: int = 1000) -> str:
    """The records as dmesg shows them; of many, the last ``longest``."""
    lines = [str(record) for record in records]
    left_out = len(lines) - longest
    return "\n".join([f"({left_out} lines before)", *lines[-longest:]] if left_out > 0 else lines)
