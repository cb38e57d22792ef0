# SPDX-License-Identifier: GPL-2.0-only
"""The verifier's verdict on every program of an object, for the price of loading one object.

libbpf stops at the first program that the kernel refuses, so forty programs would mean forty loads, and each reads and
indexes the kernel's whole BTF: 0.2 s under emulation. Here one load relocates all of them. A handler of ours is called
before each program is loaded (libbpf_register_prog_handler), loads it by itself, keeps the verdict, and leaves libbpf
two harmless instructions in the program's place.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from kfunctest.guest.libbpf import LOG_SIZE, BpfError, Object, Program, library
from kfunctest.guest.libbpf_abi import PREPARE_LOAD, HandlerOpts, Library, ProgLoadOpts
from kfunctest.guest.libbpf_data import log_buffer, log_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

#: What is loaded in a judged program's place, of a type that every kernel takes: r0 = 0; exit
_SOCKET_FILTER = 1
_HARMLESS = struct.pack("<BBhiBBhi", 0xB7, 0, 0, 0, 0x95, 0, 0, 0)
_SHF_EXECINSTR = 1 << 2  # elf.h
_SLEEPABLE = 1 << 4  # BPF_F_SLEEPABLE
_XDP_FRAGS = 1 << 5  # BPF_F_XDP_HAS_FRAGS
#: BPF_PROG_TYPE_TRACING, _EXT, _LSM: what they attach to is looked up in the kernel's BTF.
_BTF_TARGET = (26, 28, 29)
#: BPF_PROG_TYPE_SOCKET_FILTER, _SCHED_CLS, _SCHED_ACT, _XDP, _CGROUP_SKB, _LWT_IN, _LWT_OUT, _LWT_XMIT: take a packet.
PACKET = (1, 3, 4, 6, 8, 10, 11, 12)
#: Bytes of the packet that a test run gets, as in the kernel's test_loader.c.
PACKET_SIZE = 64

#: Sections that libbpf 1.1 does not know, with the numbers of BPF_PROG_TYPE_* and of the attach type (linux/bpf.h).
_NEWER_SECTIONS = {
    "tcx/ingress": (3, 46),
    "netkit/primary": (3, 54),
    "netfilter": (32, 45),
    "cgroup/connect_unix": (18, 49),
    "cgroup/sendmsg_unix": (18, 50),
    "cgroup/recvmsg_unix": (18, 51),
    "cgroup/getpeername_unix": (18, 52),
    "cgroup/getsockname_unix": (18, 53),
    "struct_ops.s/test_sleepable": (27, 0),
    "tracepoint.s/syscalls/sys_enter_getpid": (5, 0),
    "raw_tp.s/sys_enter": (17, 0),
    "tp_btf.s/sys_enter": (26, 23),
}

Verdict = tuple[int, str, int, bool]
Code = tuple[bytes, int]


def judge(path: str, programs: Sequence[Sequence[Any]]) -> dict[str, Verdict]:
    """Ask the kernel for each program whether it takes it, and run it where that is wanted.

    ``programs`` holds name, log level, BPF_F_* flags, and whether to run the program once if it is accepted.
    A verdict is the errno (0: accepted), the verifier's log (always there for a refused program, for an accepted one
    with a log level), the result of the run, 0 without one, and whether the kernel lacks what the program attaches to
    by BTF: it is not loaded then, and the log says what that is.
    Raises KeyError for a name that is not in the object, BpfError when the object cannot be relocated, a map cannot be
    made, or a run fails; nothing stays loaded.
    """
    wanted = {str(name): (int(level), int(flags), bool(run)) for name, level, flags, run in programs}
    court = Court(library(), path, wanted)
    try:
        court.sit()
        return court.verdicts()
    finally:
        court.close()


class Court:
    """Judges programs of one object while libbpf loads it. ``wanted``: log level, flags and whether to run, by name."""

    def __init__(self, lib: Library, path: str, wanted: dict[str, tuple[int, int, bool]]) -> None:
        self._lib, self._path, self.wanted, self._license = lib, path, wanted, _license(path)
        self._handlers: list[int] = []
        self._log, self._log_address = log_buffer(LOG_SIZE)
        self._callback = PREPARE_LOAD(self._judge)  # libbpf keeps the pointer
        self.found: dict[str, tuple[int, str]] = {}
        self._lacking: set[str] = set()
        self.loaded: dict[str, tuple[int, int]] = {}
        self.failure: BaseException | None = None

    def sit(self) -> None:
        """Judge all that is wanted. Raises what :func:`judge` does."""
        _keep_one_handler(self._lib)
        for section, (kind, attach) in _NEWER_SECTIONS.items():
            self._handle(section, kind, attach)
        for section in _sections(self._path, executable=True):
            self._take_over(section.lstrip("?"))
        with Object(self._path) as obj:
            for program in obj.programs.values():
                program.autoload = False
            for name in self.wanted:
                obj.programs[name].autoload = True
                self._aim(obj.programs[name])
            try:
                obj.load()
            except BpfError as error:
                raise self.failure or error from None
            self.all_loaded()

    def all_loaded(self) -> None:
        """Called while the object is open: an array of programs is empty once nobody holds it open."""

    def _take_over(self, section: str) -> None:
        """Take over the programs of this section, with the type that libbpf gives them, 0 where it knows none."""
        if section not in (".text", *_NEWER_SECTIONS):
            kind, attach = ctypes.c_int(), ctypes.c_int()
            self._lib.c.libbpf_prog_type_by_name(section.encode(), ctypes.byref(kind), ctypes.byref(attach))
            self._handle(section, kind.value, attach.value)

    def _handle(self, section: str, kind: int, attach: int) -> None:
        opts = HandlerOpts(sz=ctypes.sizeof(HandlerOpts), prog_prepare_load_fn=self._callback)
        handler = self._lib.c.libbpf_register_prog_handler(section.encode(), kind, attach, ctypes.byref(opts))
        self._handlers.append(self._lib.check(handler, f"take over the loading of {section}"))

    def _aim(self, program: Program) -> None:
        """Do by hand what libbpf's own handler would: set flags, and find the target of what attaches by BTF."""
        kind, slash, target = program.section.lstrip("?").partition("/")
        sleepable = _SLEEPABLE if kind == "syscall" or kind.endswith(".s") else 0
        fragments = _XDP_FRAGS if kind == "xdp.frags" else 0
        program.add_flags(self.wanted[program.name][1] | sleepable | fragments)
        if slash and self._lib.c.bpf_program__type(program.pointer) in _BTF_TARGET:
            missing = self._lib.c.bpf_program__set_attach_target(program.pointer, 0, target.encode())
            if missing:
                program.autoload = False
                why = "libbpf refuses the attach target"
                if -missing in (errno.ESRCH, errno.ENOENT):
                    self._lacking.add(program.name)
                    why = "this kernel lacks the attach target"
                self.found[program.name] = -missing, f"{why} {kind}/{target}"

    def verdicts(self) -> dict[str, Verdict]:
        """Run what is to be run, and put everything together."""
        results = {}
        for name, (error, log) in self.found.items():
            result = 0
            if name in self.loaded and self.wanted[name][2]:
                fd, kind = self.loaded[name]
                result = self._lib.run_once(fd, name, packet=bytes(PACKET_SIZE) if kind in PACKET else None)
            results[name] = (error, log, result, name in self._lacking)
        return results

    def close(self) -> None:
        """Unload every program, and leave libbpf as it was."""
        for handler in self._handlers:
            self._lib.c.libbpf_unregister_prog_handler(handler)
        self._handlers.clear()
        for fd, _kind in self.loaded.values():
            os.close(fd)
        self.loaded.clear()

    def _judge(self, program: int, prepared: Any, _cookie: int) -> int:
        """Called by libbpf with a relocated program and its options. What it returns, libbpf goes on with."""
        try:
            c = self._lib.c
            name = c.bpf_program__name(program).decode()
            level = self.wanted[name][0]
            opts = ProgLoadOpts()
            ctypes.memmove(ctypes.addressof(opts), prepared, ctypes.sizeof(opts))
            opts.sz = ctypes.sizeof(opts)
            opts.expected_attach_type = c.bpf_program__expected_attach_type(program)
            self.heard(program, name, opts, level)
            if self.keeps(name):
                return 0
            rest = prepared.contents
            rest.func_info_cnt = rest.line_info_cnt = rest.prog_flags = 0
            rest.attach_btf_id = rest.attach_btf_obj_fd = rest.attach_prog_fd = 0
            c.bpf_program__set_type(program, _SOCKET_FILTER)
            return int(c.bpf_program__set_insns(program, ctypes.create_string_buffer(_HARMLESS), 2))
        except BaseException as error:
            self.failure = error
            return -errno.ECANCELED

    def keeps(self, _name: str) -> bool:
        """Whether libbpf goes on with the program as it is, once more, and not with something harmless in its place."""
        return False

    def heard(self, program: int, name: str, opts: ProgLoadOpts, level: int) -> None:
        """Ask the kernel about one program, and note what it says."""
        fd, self.found[name] = self.load(program, self.code(program), opts, level)
        if fd >= 0:
            self.loaded[name] = fd, self._lib.c.bpf_program__type(program)

    def code(self, program: int) -> Code:
        """A copy of the program's instructions, and how many they are."""
        count = self._lib.c.bpf_program__insn_cnt(program)
        return ctypes.string_at(self._lib.c.bpf_program__insns(program), 8 * count), count

    def load(self, program: int, code: Code, opts: ProgLoadOpts, level: int = 0) -> tuple[int, tuple[int, str]]:
        """Load ``code`` as what ``program`` is. Returns its descriptor, or a negative number, and errno and log."""
        c = self._lib.c
        kind, name = c.bpf_program__type(program), c.bpf_program__name(program)
        self._log[0] = 0
        fd = -1
        for log_level in (level, level or 1):
            opts.log_level = log_level
            opts.log_buf, opts.log_size = (self._log_address, LOG_SIZE) if log_level else (0, 0)
            fd = c.bpf_prog_load(kind, name, self._license, *code, opts)
            if fd >= 0 or log_level:
                break
        return fd, (max(-fd, 0), log_text(self._log))


def _keep_one_handler(lib: Library) -> None:
    """Make sure that ours are never the last handlers to go: libbpf before 1.3 then uses freed memory."""
    opts = HandlerOpts(sz=ctypes.sizeof(HandlerOpts))
    status = lib.c.libbpf_register_prog_handler(b"kfunctest-keeps-one", 0, 0, ctypes.byref(opts))
    lib.check(status, "register a handler")


def _license(path: str) -> bytes:
    """The ELF section ``license``, which libbpf reads but does not show."""
    return _sections(path).get("license", b"").rstrip(b"\0")


def _sections(path: str, executable: bool = False) -> dict[str, bytes]:
    """The sections of an ELF file by name, or those of them that hold instructions."""
    with open(path, "rb") as file:
        elf = file.read()
    (table,) = struct.unpack_from("<Q", elf, 0x28)
    count, names = struct.unpack_from("<HH", elf, 0x3C)
    places = [struct.unpack_from("<I4xQ8xQQ", elf, table + 64 * n) for n in range(count)]
    found = {}
    for name, flags, offset, size in places:
        start = places[names][2] + name
        if size and (flags & _SHF_EXECINSTR or not executable):
            found[elf[start : elf.index(b"\0", start)].decode()] = elf[offset : offset + size]
    return found
