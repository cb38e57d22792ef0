# SPDX-License-Identifier: GPL-2.0-only
"""BPF objects of selftests/bpf in a running kernel: load, attach, run, and the verifier's answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from kfunctest.guest import bpf, freplace, load_with_capabilities, program_types, verdicts
from kfunctest.machine.interface import Target
from kfunctest.machine.memcg import Memcg

#: Opening and loading an object reads the kernel's whole BTF: seconds with KVM, stretched under emulation.
LOAD_SECONDS = 30.0

#: enum bpf_cgroup_iter_order (include/uapi/linux/bpf.h)
SELF_ONLY, DESCENDANTS_PRE, DESCENDANTS_POST, ANCESTORS_UP = range(1, 5)


@dataclass(frozen=True, slots=True)
class Ask:
    """A program for the verifier: its name, the log level (0: a log only when it is refused), BPF_F_* flags, and
    whether to run it once if it is accepted.
    """

    program: str
    log_level: int = 0
    flags: int = 0
    run: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the verifier said of one program: ``errno`` 0 when it was loaded, the log, and the result of its run.

    ``lacks_target``: it was not even asked, since the kernel has not got what the program's section attaches to.
    """

    errno: int
    log: str
    retval: int
    lacks_target: bool = False

    @property
    def accepted(self) -> bool:
        """Whether the program was loaded."""
        return self.errno == 0


class BpfObject:
    """One object, opened; closed with all its links when its Bpf is."""

    def __init__(self, target: Target, path: Path) -> None:
        self._target = target
        self._handle = target.call_within(LOAD_SECONDS, bpf.open_object, target.file(path))
        self._links = ExitStack()

    def load(self, *programs: str) -> BpfObject:
        """Load these programs. Raises GuestError of kind VerifierError, with the log, when one is refused."""
        self._target.call_within(LOAD_SECONDS, bpf.load, self._handle, list(programs))
        return self

    def run(self, program: str, struct: str, **fields: int) -> dict[str, int]:
        """Run a syscall program once. Returns the context's fields afterwards, and its result as ``retval``."""
        retval, after = self._target.call_within(LOAD_SECONDS, bpf.run, self._handle, program, struct, fields)
        return {**after, "retval": retval}

    def run_packet(self, program: str, packet: bytes = bytes(64)) -> int:
        """Run a program that takes a packet and return its result."""
        return self._target.call(bpf.run_packet, self._handle, program, packet)

    def attach(self, program: str) -> None:
        """Attach to what the program's section names, until the object is closed."""
        link = self._target.call(bpf.attach, self._handle, program)
        self._links.callback(self._target.call, bpf.detach, link)

    def attach_cgroup_iter(self, program: str, memcg: Memcg, order: int = SELF_ONLY) -> Callable[[], str]:
        """Attach an iterator to the memcg's cgroup. What is returned runs it and returns what it printed."""
        link = self.link_cgroup_iter(program, memcg, order)
        return lambda: self._target.call(bpf.read_iterator, link).decode()

    def link_cgroup_iter(self, program: str, memcg: Memcg, order: int = SELF_ONLY) -> int:
        """The same; what is returned is the link's number in the guest, for requests that read it there."""
        link = self._target.call(bpf.attach_cgroup_iter, self._handle, program, memcg.path, order)
        self._links.callback(self._target.call, bpf.detach, link)
        return link

    @property
    def handle(self) -> int:
        """The object's number in the guest, for requests that run its programs there."""
        return self._handle

    def __getitem__(self, name: str) -> int | bytes:
        """A global variable."""
        return self._target.call(bpf.read_global, self._handle, name)

    def __setitem__(self, name: str, value: int | bytes) -> None:
        self._target.call(bpf.write_global, self._handle, name, value)

    def lookup(self, name: str, key: int | bytes) -> int | bytes:
        """The value of ``key`` in the map ``name``."""
        return self._target.call(bpf.read_map, self._handle, name, key)

    def close(self) -> None:
        """Detach every link and unload."""
        self._links.close()
        self._target.call(bpf.close, self._handle)


class Bpf:
    """Loads objects by the name of their source file; everything loaded is gone on leaving."""

    def __init__(self, target: Target, compiled: Callable[[str], Path]) -> None:
        self._target = target
        self._compiled = compiled
        self._objects: list[BpfObject] = []

    def open(self, source: str) -> BpfObject:
        """Open ``selftests/bpf/<source>``, compiled where its content is new. Nothing is loaded yet."""
        self._objects.append(BpfObject(self._target, self._compiled(source)))
        return self._objects[-1]

    def verdicts(self, source: str, asked: Sequence[Ask]) -> dict[str, Verdict]:
        """Let the verifier judge programs of one object, for the price of loading one, and unload them again."""
        batch = [(ask.program, ask.log_level, ask.flags, ask.run) for ask in asked]
        path = self._target.file(self._compiled(source))
        found = self._target.call_within(LOAD_SECONDS, verdicts.judge, path, batch)
        return {program: Verdict(*verdict) for program, verdict in found.items()}

    def callers_at(
        self, source: str, names: Sequence[str], callers: Sequence[str], together: str
    ) -> dict[str, dict[str, Verdict]]:
        """What the verifier says of programs loaded as others are (:func:`kfunctest.guest.program_types.judge`)."""
        path = self._target.file(self._compiled(source))
        found = self._target.call_within(LOAD_SECONDS, program_types.judge, path, list(names), list(callers), together)
        return {
            place: {caller: Verdict(*said, retval=0) for caller, said in callers.items()}
            for place, callers in found.items()
        }

    def extensions_of(self, source: str, target: str, function: str, programs: Sequence[str]) -> dict[str, Verdict]:
        """What the kernel says of programs that would replace a function of another program of the same object."""
        path = self._target.file(self._compiled(source))
        found = self._target.call_within(LOAD_SECONDS, freplace.judge, path, target, function, list(programs))
        return {program: Verdict(*said, retval=0) for program, said in found.items()}

    def loaded_with(self, source: str, asked: Mapping[str, Sequence[str]]) -> dict[str, Verdict]:
        """What the kernel says of each program when its loader has these capabilities and no others."""
        path = self._target.file(self._compiled(source))
        held = {program: list(names) for program, names in asked.items()}
        found = self._target.call_within(LOAD_SECONDS, load_with_capabilities.judge, path, held)
        return {program: Verdict(*said, retval=0) for program, said in found.items()}

    def __enter__(self) -> Bpf:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._target.lost:
            return
        while self._objects:
            self._objects.pop().close()
