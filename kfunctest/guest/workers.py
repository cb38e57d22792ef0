# SPDX-License-Identifier: GPL-2.0-only
"""Processes that live in a measured memcg and do there what they are told.

A worker is forked from the *nursery*, a process without threads that was itself forked before execnet started any. A
fork costs a few milliseconds under TCG where a new interpreter costs half a second, and the worker's own footprint in
the memcg is only what it copies on write.
"""

from __future__ import annotations

# _socket and marshal, since what socket and json import takes Python longer to load under TCG than all of this package.
import _socket
import gc
import marshal
import os
import sys

from kfunctest.guest import workload, workload_huge, workload_kinds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

ROOT = "/sys/fs/cgroup"
#: Bytes of the longest message: a worker's traceback.
MESSAGE = 1 << 16

_nursery: _socket.socket | None = None
_workers: dict[int, _socket.socket] = {}


class WorkerDied(Exception):
    """The worker was killed; the message says by which signal. Expected of a worker that runs into memory.max."""


class WorkerError(Exception):
    """A workload raised in the worker; the message holds its traceback."""


def start_nursery() -> None:
    """Fork the nursery. Called once, before any thread exists."""
    global _nursery
    # Here already: the agent itself is in a measured memcg at times.
    workload_huge.disallow()
    _nursery, theirs = _pair()
    if os.fork() == 0:
        _nursery.close()
        _run_nursery(theirs)
    theirs.close()


def spawn(cgroup: str) -> int:
    """Start a worker in the cgroup (a path below the mount) and return its process id."""
    assert _nursery is not None
    _send(_nursery, ("spawn", cgroup))
    data, ancillary, _, _ = _nursery.recvmsg(MESSAGE, _socket.CMSG_SPACE(4))
    pid = int(marshal.loads(data))
    _workers[pid] = _socket.socket(fileno=int.from_bytes(ancillary[0][2], sys.byteorder))
    # The first command pays for what the worker copies on write; paid here, before anything is measured.
    work(pid, "charge_anon", 1 << 16)
    work(pid, "release_anon")
    return pid


def work(pid: int, command: str, *args: object) -> int:
    """Run ``command`` of one of the modules ``workload*.py`` in the worker and return its number.

    Raises WorkerDied when the worker is killed meanwhile, WorkerError when the workload raises.
    """
    channel = _workers[pid]
    try:
        _send(channel, (command, *args))
        value, error = _receive(channel)
    except (EOFError, ConnectionError):
        status = end(pid)
        how = f"by signal {-status}" if status < 0 else f"with status {status}"
        raise WorkerDied(f"worker {pid} ended {how} during {command}") from None
    if error:
        raise WorkerError(error)
    return int(value)


def lives(pid: int) -> bool:
    """Whether the worker has not been reaped yet."""
    return pid in _workers


def kill(pid: int) -> None:
    """Kill the worker and let it be: a zombie, which pins its memcg until end() reaps it."""
    os.kill(pid, 9)


def end(pid: int) -> int:
    """Kill the worker, reap it, and return its exit status (negative: the signal)."""
    assert _nursery is not None
    _workers.pop(pid).close()
    _send(_nursery, ("reap", pid))
    return int(_receive(_nursery))


def _pair() -> tuple[_socket.socket, _socket.socket]:
    # Whole messages, in order, and an end when the other side is gone.
    return _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)


def _send(channel: _socket.socket, message: Any) -> None:
    channel.send(marshal.dumps(message))


def _receive(channel: _socket.socket) -> Any:
    data = channel.recv(MESSAGE)
    if not data:
        raise EOFError
    return marshal.loads(data)


def _run_nursery(channel: _socket.socket) -> NoReturn:
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    # A collection in a worker would touch, and so copy and charge, every object of the interpreter.
    gc.disable()
    gc.freeze()
    while True:
        try:
            verb, argument = _receive(channel)
        except EOFError:
            os._exit(0)
        if verb == "spawn":
            _spawn(channel, argument)
        else:
            os.kill(argument, 9)  # a zombie takes it too, and keeps the status that it died with
            _send(channel, os.waitstatus_to_exitcode(os.waitpid(argument, 0)[1]))


def _spawn(channel: _socket.socket, cgroup: str) -> None:
    ours, theirs = _pair()
    pid = os.fork()
    if pid == 0:
        channel.close()
        ours.close()
        _run_worker(theirs, cgroup)
    theirs.close()
    handed = ours.fileno().to_bytes(4, sys.byteorder)
    channel.sendmsg([marshal.dumps(pid)], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, handed)])
    ours.close()


def _run_worker(channel: _socket.socket, cgroup: str) -> NoReturn:
    with open(f"{ROOT}/{cgroup}/cgroup.procs", "w") as procs:
        procs.write("0")
    while True:
        try:
            command, *args = _receive(channel)
        except EOFError:
            os._exit(0)
        try:
            answer = (_command(command)(*args), "")
        except Exception:
            import traceback

            answer = (0, traceback.format_exc()[-MESSAGE // 2 :])
        _send(channel, answer)


def _command(name: str) -> Callable[..., int]:
    module = next((module for module in (workload, workload_kinds) if hasattr(module, name)), workload_huge)
    command: Callable[..., int] = getattr(module, name)
    return command
