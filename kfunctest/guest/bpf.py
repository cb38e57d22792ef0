# SPDX-License-Identifier: GPL-2.0-only
"""Requests about BPF objects: each lives under a number until it is closed. Values are of builtin types."""

from __future__ import annotations

import marshal
import os

from kfunctest.guest.cgroup import ROOT
from kfunctest.guest.libbpf import Link, Object

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_objects: dict[int, Object] = {}
_links: dict[int, Link] = {}


def open_object(path: str) -> int:
    """Open the compiled object and return its handle."""
    return _keep(_objects, Object(path))


def load(handle: int, programs: list[str]) -> None:
    """Load these programs. Raises VerifierError with the log for the first that is refused."""
    _objects[handle].load(programs)


def close(handle: int) -> None:
    """Unload the object. Its links must be detached before."""
    _objects.pop(handle).close()


def run(handle: int, program: str, struct: str, fields: dict[str, int]) -> tuple[int, dict[str, int]]:
    """Run a syscall program with ``struct`` as context. Returns its result and the context's fields afterwards."""
    obj = _objects[handle]
    context = obj.btf.struct(struct)(**fields)
    result = obj.programs[program].test_run(context)
    return result, {name: getattr(context, name) for name, *_ in context._fields_}


def run_packet(handle: int, program: str, packet: bytes) -> int:
    """Run a program that takes a packet (tc, xdp, cgroup_skb) on ``packet`` and return its result."""
    return _objects[handle].programs[program].test_run(packet=packet)


def attach(handle: int, program: str) -> int:
    """Attach to what the section names, and return the link's handle."""
    return _keep(_links, _objects[handle].programs[program].attach())


def attach_cgroup_iter(handle: int, program: str, cgroup: str, order: int) -> int:
    """Attach an iterator to the cgroup (a path below the mount), and return the link's handle."""
    return _keep(_links, _objects[handle].programs[program].attach_cgroup_iter(f"{ROOT}/{cgroup}", order))


def read_iterator(link: int) -> bytes:
    """Run the iterator once and return what it printed."""
    return _links[link].read()


def detach(link: int) -> None:
    """Detach the link."""
    _links.pop(link).close()


def read_global(handle: int, name: str) -> int | bytes:
    """A global variable: a number, or an array or struct as bytes."""
    value = _objects[handle].globals[name]
    return int(value) if isinstance(value, int) else bytes(value)


def write_global(handle: int, name: str, value: int | bytes) -> None:
    """Set a global variable."""
    _objects[handle].globals[name] = value


def read_map(handle: int, name: str, key: int | bytes) -> int | bytes:
    """The value of ``key`` in a map. Raises OSError (ENOENT) when there is none."""
    value = _objects[handle].map(name)[key]
    return int(value) if isinstance(value, int) else bytes(value)


def run_calls(handle: int, root: bool, cgroup_id: int, batch: list[tuple[int, int]]) -> tuple[int, int, list[int]]:
    """Run one batch of kfuncs.bpf.c on one memcg: pairs of operation and index.

    Returns the program's ``error`` and ``failed``, and the value of each call.
    """
    obj = _objects[handle]
    calls = obj.globals.view("calls")
    for slot, (operation, index) in enumerate(batch):
        calls[slot].op, calls[slot].index = operation, index
    context: Any = obj.btf.struct("call_args")(cgroup_id=cgroup_id, root=int(root), ncalls=len(batch))
    obj.programs["run_calls"].test_run(context)
    return context.error, context.failed, [calls[slot].value for slot in range(len(batch))]


def run_calls_apart(
    handle: int, root: bool, cgroup_id: int, batch: list[tuple[int, int]]
) -> tuple[int, int, list[int]] | int:
    """:func:`run_calls` in a process of its own, for calls that the kernel may not survive.

    Returns the signal that killed it instead where one did: an oops kills who was running.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writing, marshal.dumps(run_calls(handle, root, cgroup_id, batch)))
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        answer = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status < 0:
        return -status
    error, failed, values = marshal.loads(answer)
    return error, failed, values


def object_enum(handle: int, name: str) -> dict[str, int]:
    """The members of an enum that the object defines."""
    return _objects[handle].btf.enum(name)


def _keep(kept: dict[int, Any], thing: Any) -> int:
    handle = max(kept, default=0) + 1
    kept[handle] = thing
    return handle
