# SPDX-License-Identifier: GPL-2.0-only
"""libbpf for Python, by ctypes: open, load, attach and run BPF objects, and read what they left.

    with Object(path) as obj:
        obj.load(["mini"])
        args = obj.btf.struct("args")(cgid=1)
        result = obj.programs["mini"].test_run(args)

Every failure is a BpfError with its errno; a program that the verifier refuses is a VerifierError with its log.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os

from kfunctest.guest import libbpf_data as data
from kfunctest.guest.btf import Btf
from kfunctest.guest.libbpf_abi import (
    BpfError,
    CgroupIterInfo,
    IterOpts,
    LibbpfMissing,
    Library,
    OpenOpts,
    VerifierError,
    library,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType
    from typing import Any, Self

__all__ = ["BpfError", "Globals", "LibbpfMissing", "Link", "Map", "Object", "Program", "VerifierError", "library"]

Globals, Map = data.Globals, data.Map

#: Room for the verifier's log, in bytes. Too small a buffer fails a good program with ENOSPC; untouched pages are free.
LOG_SIZE = 16 << 20

#: enum bpf_cgroup_iter_order
SELF_ONLY, DESCENDANTS_PRE, DESCENDANTS_POST, ANCESTORS_UP = range(1, 5)


class Program:
    """A program of an opened object. Works on programs that were not loaded too: what needs a loaded one says so."""

    def __init__(self, lib: Library, pointer: int) -> None:
        self._lib = lib
        self._pointer: int | None = pointer
        self._kept_log: mmap.mmap | None = None
        self.name: str = lib.c.bpf_program__name(pointer).decode()
        self.section: str = lib.c.bpf_program__section_name(pointer).decode()

    @property
    def pointer(self) -> int:
        """The program as libbpf knows it. BpfError (EBADF) when its object is closed."""
        if self._pointer is None:
            raise BpfError(errno.EBADF, f"the object of program {self.name} is closed")
        return self._pointer

    @property
    def fd(self) -> int:
        """The program's file descriptor; it belongs to the object. BpfError (EBADF) when it was not loaded."""
        fd: int = self._lib.c.bpf_program__fd(self.pointer)
        if fd < 0:
            raise BpfError(errno.EBADF, f"program {self.name} is not loaded")
        return fd

    @property
    def loaded(self) -> bool:
        """Whether the kernel accepted it."""
        return self._pointer is not None and self._lib.c.bpf_program__fd(self._pointer) >= 0

    def forget(self) -> None:
        """Its object is closed: from now on only the name, the section and the log are left."""
        self._pointer = None

    @property
    def autoload(self) -> bool:
        """Whether the object's load() loads this program. To be set before."""
        return bool(self._lib.c.bpf_program__autoload(self.pointer))

    @autoload.setter
    def autoload(self, on: bool) -> None:
        self._lib.check(self._lib.c.bpf_program__set_autoload(self.pointer, on), f"set autoload of {self.name}")

    def add_flags(self, flags: int) -> None:
        """Load with these BPF_F_* flags too."""
        all_flags = self._lib.c.bpf_program__flags(self.pointer) | flags
        self._lib.check(self._lib.c.bpf_program__set_flags(self.pointer, all_flags), f"set flags of {self.name}")

    def want_log(self, level: int = 0) -> None:
        """Keep the verifier's log: at this level in any case, with 0 only when it refuses. Call it before load().

        Formatting the log takes the verifier a multiple of its own time; load() asks for 0 where nothing was asked for.
        """
        if self._kept_log is None:
            self._kept_log, address = data.log_buffer(LOG_SIZE)
            set_buffer = self._lib.c.bpf_program__set_log_buf(self.pointer, address, LOG_SIZE)
            self._lib.check(set_buffer, f"set the log of {self.name}")
        elif not level:
            return
        self._lib.check(
            self._lib.c.bpf_program__set_log_level(self.pointer, level), f"set the log level of {self.name}"
        )

    @property
    def log(self) -> str:
        """The verifier's log; empty when none was kept."""
        return "" if self._kept_log is None else data.log_text(self._kept_log)

    def test_run(self, ctx: Any = None, packet: bytes | None = None, repeat: int = 0) -> int:
        """Run the program once, as :meth:`Library.run_once` says. Raises BpfError."""
        return self._lib.run_once(self.fd, self.name, ctx, packet, repeat)

    def attach(self) -> Link:
        """Attach to what its section names: a tracepoint, fentry, fexit, an LSM hook. The link detaches it."""
        return self._linked(self._lib.c.bpf_program__attach(self._needs_load()))

    def attach_cgroup(self, path: str) -> Link:
        """Attach a ``cgroup...`` program to the cgroup at ``path``."""
        return self._with_folder(path, lambda fd: self._lib.c.bpf_program__attach_cgroup(self._needs_load(), fd))

    def attach_cgroup_iter(self, path: str, order: int = SELF_ONLY) -> Link:
        """Attach an ``iter/cgroup`` program to the cgroup at ``path``; :meth:`Link.read` runs it."""

        def attach(fd: int) -> int | None:
            info = CgroupIterInfo(order=order, cgroup_fd=fd)
            opts = IterOpts(
                sz=ctypes.sizeof(IterOpts), link_info=ctypes.addressof(info), link_info_len=ctypes.sizeof(info)
            )
            return self._lib.c.bpf_program__attach_iter(self._needs_load(), ctypes.byref(opts))  # type: ignore[no-any-return]

        return self._with_folder(path, attach)

    def _with_folder(self, path: str, attach: Callable[[int], int | None]) -> Link:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return self._linked(attach(fd))
        finally:
            os.close(fd)

    def _needs_load(self) -> int:
        return self.pointer if self.fd >= 0 else 0

    def _linked(self, pointer: int | None) -> Link:
        return Link(self._lib, self._lib.check(pointer, f"attach {self.name}"), self.name)


class Link:
    """An attached program. A context manager that detaches."""

    def __init__(self, lib: Library, pointer: int, name: str) -> None:
        self._lib, self._pointer, self._name = lib, pointer, name

    @property
    def fd(self) -> int:
        """The link's file descriptor. BpfError (EBADF) when it was closed."""
        if not self._pointer:
            raise BpfError(errno.EBADF, f"the link of {self._name} is closed")
        return self._lib.check(self._lib.c.bpf_link__fd(self._pointer), f"the link of {self._name}")

    def read(self) -> bytes:
        """Run the iterator once, to its end, and return what it printed."""
        fd = self._lib.check(self._lib.c.bpf_iter_create(self.fd), f"iterate with {self._name}")
        try:
            chunks = []
            while chunk := os.read(fd, 1 << 16):
                chunks.append(chunk)
            return b"".join(chunks)
        finally:
            os.close(fd)

    def close(self) -> None:
        """Detach. Does nothing the second time."""
        pointer, self._pointer = self._pointer, 0
        if pointer:
            self._lib.check(self._lib.c.bpf_link__destroy(pointer), f"detach {self._name}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class Object:
    """A compiled BPF object: a context manager, and then its programs, maps, variables and types by name.

    Raises BpfError when ``path`` is no BPF object (ENOENT: no such file), LibbpfMissing without libbpf.
    """

    def __init__(self, path: str) -> None:
        self._lib = lib = library()
        lib.forget()
        opts = OpenOpts(sz=ctypes.sizeof(OpenOpts))
        self._pointer = lib.check(lib.c.bpf_object__open_file(os.fsencode(path), ctypes.byref(opts)), f"open {path}")
        self.path = path
        self.programs = {p.name: p for p in map(self._program, self._each(lib.c.bpf_object__next_program))}
        self._maps = {lib.c.bpf_map__name(m).decode(): m for m in self._each(lib.c.bpf_object__next_map)}
        self._btf: Btf | None = None
        self._globals: data.Globals | None = None
        self._is_loaded = False

    def _program(self, pointer: int) -> Program:
        return Program(self._lib, pointer)

    def _each(self, following: Callable[[int, int | None], int | None]) -> Iterator[int]:
        pointer = following(self._pointer, None)
        while pointer:
            yield pointer
            pointer = following(self._pointer, pointer)

    def _opened(self) -> int:
        if not self._pointer:
            raise BpfError(errno.EBADF, f"{self.path} is closed")
        return self._pointer

    @property
    def btf(self) -> Btf:
        """The object's own types: contexts, variables, declaration tags."""
        if self._btf is None:
            size = ctypes.c_uint32()
            raw = self._lib.c.btf__raw_data(self._lib.c.bpf_object__btf(self._opened()), ctypes.byref(size))
            self._btf = Btf(ctypes.string_at(self._lib.check(raw, f"the BTF of {self.path}"), size.value))
        return self._btf

    @property
    def globals(self) -> data.Globals:
        """The global variables: initial values before load(), live memory after it."""
        self._opened()
        if self._globals is None:
            self._globals = (data.live if self._is_loaded else data.initial)(self._lib, self.btf, self._maps)
        return self._globals

    def map(self, name: str) -> data.Map:
        """The map of this name. Raises KeyError."""
        self._opened()
        return data.Map(self._lib, self._maps[name], self.btf)

    def load(self, programs: Iterable[str] | None = None) -> None:
        """Load these programs, or those that the file marks (all without a ``?`` in their section).

        Raises VerifierError for the first one that the verifier refuses, KeyError for a name that is not there, and
        BpfError for the rest, a kfunc that is neither there nor weak for one.
        """
        pointer = self._opened()
        if programs is not None:
            wanted = {self.programs[name].name for name in programs}
            for program in self.programs.values():
                program.autoload = program.name in wanted
        asked = [program for program in self.programs.values() if program.autoload]
        for program in asked:
            program.want_log()
        self._lib.forget()
        failed = self._lib.c.bpf_object__load(pointer)
        self._globals = None
        if failed:
            # On failure libbpf unloads all, so the refused program is not the one without a file descriptor. A log
            # alone is no proof either, where one was wanted in any case.
            for program in reversed(asked):
                if program.log and f"'{program.name}'" in self._lib.printed():
                    raise VerifierError(failed, program.name, program.log)
        self._lib.check(failed, f"load {self.path}")
        self._is_loaded = True

    def close(self) -> None:
        """Unload. Links, programs, maps and variables end with it; does nothing the second time."""
        pointer, self._pointer = self._pointer, 0
        for program in self.programs.values():
            program.forget()
        self._globals = None
        if pointer:
            self._lib.c.bpf_object__close(pointer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
