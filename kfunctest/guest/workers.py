# SPDX-License-Identifier: GPL-2.0-only
"""Processes that live in a measured memcg and do there what they are told.

A worker is forked from the *nursery*, a process without threads that was itself forked before execnet started any. A
fork costs a few milliseconds under TCG where a new interpreter costs half a second, and the worker's own footprint in
the memcg is only what it copies on write.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import sys
import traceback
from importlib import import_module

ROOT = "/sys/fs/cgroup"

_nursery: socket.socket | None = None
_workers: dict[int, socket.socket] = {}


class WorkerDied(Exception):
    """The worker was killed; the message says by which signal. Expected of a worker that runs into memory.max."""


class WorkerError(Exception):
    """A workload raised in the worker; the message holds its traceback."""


def start_nursery() -> None:
    """Fork the nursery. Called once, before any thread exists."""
    global _nursery
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        ours.close()
        _run_nursery(theirs)
        os._exit(0)
    theirs.close()
    _nursery = ours


def spawn(cgroup: str) -> int:
    """Start a worker in the cgroup (a path below the mount) and return its process id."""
    assert _nursery is not None
    _nursery.sendall(f"spawn {cgroup}\n".encode())
    answer, fds, _, _ = socket.recv_fds(_nursery, 64, 1)
    pid = int(answer)
    _workers[pid] = socket.socket(fileno=fds[0])
    # The first command pays for what the worker copies on write; paid here, before anything is measured.
    work(pid, "ping")
    work(pid, "charge_anon", 1 << 16)
    work(pid, "release_anon")
    return pid


def work(pid: int, command: str, *args: object) -> int:
    """Run ``command`` of ``kfunctest.guest.workload`` in the worker and return its number.

    Raises WorkerDied when the worker is killed meanwhile, WorkerError when the workload raises.
    """
    channel = _workers[pid]
    try:
        channel.sendall(json.dumps([command, *args]).encode() + b"\n")
        answer = b""
        while not answer.endswith(b"\n"):
            data = channel.recv(1 << 16)
            if not data:
                raise ConnectionError
            answer += data
    except ConnectionError:
        status = end(pid)
        how = f"by {signal.Signals(-status).name}" if status < 0 else f"with status {status}"
        raise WorkerDied(f"worker {pid} ended {how} during {command}") from None
    value, error = json.loads(answer)
    if error:
        raise WorkerError(error)
    return int(value)


def end(pid: int) -> int:
    """Kill the worker, reap it, and return its exit status (negative: the signal)."""
    assert _nursery is not None
    _workers.pop(pid).close()
    _nursery.sendall(f"reap {pid}\n".encode())
    return int(_nursery.recv(64))


def _run_nursery(channel: socket.socket) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    import_module("kfunctest.guest.workload")
    # A collection in a worker would touch, and so copy and charge, every object of the interpreter.
    gc.disable()
    gc.freeze()
    with channel.makefile("r") as requests:
        for line in requests:
            verb, argument = line.rstrip("\n").split(" ", 1)
            if verb == "spawn":
                _spawn(channel, argument)
            else:
                channel.sendall(str(_reap(int(argument))).encode())


def _spawn(channel: socket.socket, cgroup: str) -> None:
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        channel.close()
        ours.close()
        _run_worker(theirs, cgroup)
        os._exit(0)
    theirs.close()
    socket.send_fds(channel, [str(pid).encode()], [ours.fileno()])
    ours.close()


def _reap(pid: int) -> int:
    os.kill(pid, signal.SIGKILL)  # a zombie takes it too, and keeps the status that it died with
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _run_worker(channel: socket.socket, cgroup: str) -> None:
    with open(f"{ROOT}/{cgroup}/cgroup.procs", "w") as procs:
        procs.write("0")
    workload = import_module("kfunctest.guest.workload")
    with channel.makefile("r") as commands:
        for line in commands:
            command, *args = json.loads(line)
            try:
                answer = [getattr(workload, command)(*args), None]
            except Exception:
                answer = [0, traceback.format_exc()]
            channel.sendall(json.dumps(answer).encode() + b"\n")
    sys.exit(0)
