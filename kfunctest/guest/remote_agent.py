# SPDX-License-Identifier: GPL-2.0-only
"""The agent's program on a machine that shares no files with us, or goes on living: sent as text, run from memory.

Two processes. The *sweeper*, which was started, waits for the other, the agent, however that ends, and then leaves the
machine as it was: no process, no cgroup, no file, and the root cgroup's controllers and what the kernel does by itself
(background.py) as they were. BPF objects live by file descriptors of the agent, and end with it.

Run by ``main(modules, prefix)``: the modules by name, and what the names of this run's cgroups and folder begin with.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from _frozen_importlib import ModuleSpec
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import NoReturn

ROOT = "/sys/fs/cgroup"
#: Where files that the host sends are kept; only root writes there.
FILES = "/run"
#: Seconds for the kernel to let a cgroup go after its last process was killed.
LEAVE_SECONDS = 10.0
#: The status that says that something was left behind; stderr says what.
LEFT = 92


class Shipped:
    """An importer of modules that came as text: by name whether it is a package, its file over there, its source."""

    def __init__(self, modules: dict[str, tuple[bool, str, str]]) -> None:
        self._modules = modules

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> object:
        """Python's question for a module."""
        if name not in self._modules:
            return None
        is_package, origin, _ = self._modules[name]
        return ModuleSpec(name, self, origin=origin, is_package=is_package)  # type: ignore[arg-type]

    def create_module(self, spec: object) -> None:
        """Python's own way will do."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the module's code."""
        _, origin, source = self._modules[module.__name__]
        exec(compile(source, origin, "exec"), module.__dict__)


def main(modules: dict[str, tuple[bool, str, str]], prefix: str) -> NoReturn:
    """Be the sweeper, and start the agent."""
    if os.getsid(0) != os.getpid() and os.getpgrp() != os.getpid():
        os.setsid()
    for ignored in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(ignored, signal.SIG_IGN)
    lacked = lacks_memory()
    sys.meta_path.insert(0, Shipped(modules))  # type: ignore[arg-type]
    from kfunctest.guest import background

    before = background.put_to_sleep(ours=False)
    agent = os.fork()
    if agent == 0:
        os.setpgid(0, 0)
        run()
        os._exit(0)
    signal.signal(signal.SIGTERM, lambda *_: kill(agent))
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.waitpid(agent, 0)
    kill(agent)
    left = sweep(prefix) + background.restore(before)
    if lacked and not lacks_memory():
        with suppress(OSError), open(f"{ROOT}/cgroup.subtree_control", "w") as file:
            file.write("-memory")
    if left:
        os.write(2, f"kfunctest left behind: {', '.join(left)}\n".encode())
    os._exit(LEFT if left else 0)


def run() -> None:
    """Be the agent."""
    from kfunctest.guest import workers

    # Before execnet starts its threads: a forked child has only the thread that forked.
    workers.start_nursery()
    from execnet.gateway_base import get_execmodel, init_popen_io, serve

    io = init_popen_io(get_execmodel("main_thread_only"))
    io.write(b"1")
    serve(io, id="agent")  # type: ignore[arg-type]  # as execnet's own bootstrap does


def lacks_memory() -> bool:
    """Whether children of the root cgroup have no memory controller, so that giving them one is to be undone."""
    try:
        with open(f"{ROOT}/cgroup.subtree_control") as file:
            return "memory" not in file.read().split()
    except OSError:
        return False


def kill(group: int) -> None:
    """Kill the agent's process group, workers and their nursery among it."""
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def sweep(prefix: str) -> list[str]:
    """Remove the cgroups and the folders of this run; returns what is still there."""
    left = []
    for name in starting(ROOT, prefix):
        left += [path] if not remove(path := f"{ROOT}/{name}") else []
    for name in starting(FILES, prefix):
        shutil.rmtree(f"{FILES}/{name}", ignore_errors=True)
        with suppress(OSError):  # a file, which is no tree
            os.unlink(f"{FILES}/{name}")
        left += [f"{FILES}/{name}"] if os.path.exists(f"{FILES}/{name}") else []
    return left


def starting(folder: str, prefix: str) -> list[str]:
    """The names in the folder that begin so."""
    try:
        return [name for name in os.listdir(folder) if name.startswith(prefix)]
    except OSError:
        return []


def remove(top: str) -> bool:
    """Kill what lives in the cgroup, and remove it with its children. Returns whether it is gone."""
    deadline = time.monotonic() + LEAVE_SECONDS
    while os.path.isdir(top):
        for path, _, _ in os.walk(top, topdown=False):
            for pid in lines(f"{path}/cgroup.procs"):
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            with suppress(OSError):  # its processes are still leaving
                os.rmdir(path)
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def lines(path: str) -> list[str]:
    """The lines of a file, none where it is gone."""
    try:
        with open(path) as file:
            return file.read().split()
    except OSError:
        return []
