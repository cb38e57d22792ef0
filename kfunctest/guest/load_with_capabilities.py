# SPDX-License-Identifier: GPL-2.0-only
"""What the kernel says of a program when whoever loads it has only some capabilities.

libbpf relocates the programs here, with all capabilities. Only the load itself is asked for by a child that gave up the
rest: libbpf's own steps, which ask for more, cannot get in the way.
"""

from __future__ import annotations

import ctypes
import marshal
import os
import struct

from kfunctest.guest.libbpf import library
from kfunctest.guest.verdicts import Court

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kfunctest.guest.libbpf_abi import ProgLoadOpts

#: include/uapi/linux/capability.h
NUMBERS = {"CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21, "CAP_PERFMON": 38, "CAP_BPF": 39}
UNPRIVILEGED = "/proc/sys/kernel/unprivileged_bpf_disabled"
_SYS_CAPSET = 126  # x86-64
#: Characters of a log's end: a pipe holds 64 KiB before anyone reads.
_LOG_KEPT = 1 << 14
_VERSION_3 = 0x20080522

Said = tuple[int, str]


def judge(path: str, asked: dict[str, list[str]]) -> dict[str, Said]:
    """What the kernel says of each program of the object when its loader has these capabilities and no others.

    The errno (0: accepted) and the verifier's log. Raises BpfError as :func:`kfunctest.guest.verdicts.judge` does.
    """
    court = _Lesser(path, asked)
    try:
        court.sit()
        return court.said
    finally:
        court.close()


def unprivileged(value: int) -> int:
    """Set kernel.unprivileged_bpf_disabled (0: anyone may load some types, 2: nobody without CAP_BPF).

    Returns what it was. Raises PermissionError where it is 1, which lasts until the next boot.
    """
    with open(UNPRIVILEGED) as file:
        before = int(file.read())
    with open(UNPRIVILEGED, "w") as file:
        file.write(str(value))
    return before


class _Lesser(Court):
    def __init__(self, path: str, asked: dict[str, list[str]]) -> None:
        super().__init__(library(), path, dict.fromkeys(asked, (1, 0, False)))
        self._asked = asked
        self.said: dict[str, Said] = {}

    def heard(self, program: int, name: str, opts: ProgLoadOpts, level: int) -> None:
        """Ask in a child, and let it tell the errno and the log."""
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                keep_only(self._asked[name])
                number, log = self.load(program, self.code(program), opts, level)[1]
                os.write(writing, marshal.dumps((number, log[-_LOG_KEPT:])))
            finally:
                os._exit(0)
        os.close(writing)
        with open(reading, "rb") as pipe:
            answer = pipe.read()
        os.waitpid(pid, 0)
        number, log = marshal.loads(answer)
        self.said[name] = number, log


def keep_only(names: list[str]) -> None:
    """Give up every capability of this process but these, for good. Raises OSError."""
    bits = sum(1 << NUMBERS[name] for name in names)
    halves = (bits & 0xFFFFFFFF, bits >> 32)
    data = b"".join(struct.pack("III", half, half, 0) for half in halves)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(_SYS_CAPSET, struct.pack("Ii", _VERSION_3, 0), data):
        raise OSError(ctypes.get_errno(), "capset")
