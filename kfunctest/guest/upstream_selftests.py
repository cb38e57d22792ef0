# SPDX-License-Identifier: GPL-2.0-only
"""Verdicts on the kernel's own BPF selftests, which were written to be loaded one at a time.

All programs of an object are tried in one load first. Where that fails for one of them, a symbol or a map of which this
kernel lacks for instance, each is tried by itself, and the failure is its own.
"""

from __future__ import annotations

from kfunctest.guest.libbpf import BpfError, Object, library
from kfunctest.guest.verdicts import PACKET, PACKET_SIZE, Court

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

#: errno, log, result of the run, and why there is no verdict or no result.
Said = tuple[int, str, int, str]

#: Characters of a log: those of programs with thousands of instructions are of megabytes.
_KEPT = 1 << 20


def judge(path: str, programs: Sequence[Sequence[Any]], auxiliary: list[str]) -> dict[str, Said]:
    """For each program the errno, the log, the result of its run, and why it was not asked, or the run failed, if so.

    ``programs`` are as :func:`kfunctest.guest.verdicts.judge` takes them; those of ``auxiliary`` are loaded beside.
    """
    wanted = {str(name): (int(level), int(flags), bool(run)) for name, level, flags, run in programs}
    with Object(path) as plain:  # static functions are called auxiliary, too
        beside = dict.fromkeys((name for name in auxiliary if name in plain.programs), (0, 0, False))
    try:
        return _judge(path, {**wanted, **beside})
    except BpfError:
        found: dict[str, Said] = {}
        for name, how in wanted.items():
            try:
                found |= _judge(path, {name: how, **beside})
            except BpfError as error:
                found[name] = error.errno or -1, "", 0, f"not asked: {error.log or error}"
        return found


def _judge(path: str, wanted: dict[str, tuple[int, int, bool]]) -> dict[str, Said]:
    court = _Lenient(library(), path, wanted)
    try:
        court.sit()
        return court.said()
    finally:
        court.close()


class _Lenient(Court):
    def keeps(self, name: str) -> bool:
        """Accepted programs stay: others of the object call them through an array of programs."""
        return name in self.loaded

    def all_loaded(self) -> None:
        """Run what is to be run."""
        self.ran: dict[str, tuple[int, str]] = {}
        for name, (fd, kind) in self.loaded.items():
            if self.wanted[name][2]:
                try:
                    packet = bytes(PACKET_SIZE) if kind in PACKET else None
                    self.ran[name] = library().run_once(fd, name, packet=packet), ""
                except BpfError as failure:
                    self.ran[name] = 0, str(failure)

    def said(self) -> dict[str, Said]:
        """The verdicts; a run that fails is part of one."""
        return {name: (error, log[-_KEPT:], *self.ran.get(name, (0, ""))) for name, (error, log) in self.found.items()}
