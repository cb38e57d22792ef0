# SPDX-License-Identifier: GPL-2.0-only
"""Serves requests in the guest: one at a time, in order, each answered with a value or with the whole error."""

from __future__ import annotations

import os
import sys
import traceback
from importlib import import_module
from typing import Any, Protocol  # execnet has imported it already

from kfunctest.guest import build_id, cgroup
from kfunctest.guest.affinity import allowed


class Channel(Protocol):
    """The part of execnet's channel that the agent uses."""

    def send(self, item: object) -> None: ...
    def receive(self) -> Any: ...


def serve(channel: Channel) -> None:
    """Say hello, then answer requests until the channel ends."""
    cgroup.prepare()
    channel.send(hello())
    while True:
        try:
            number, module, name, args, kwargs = channel.receive()
        except EOFError:
            return
        channel.send(_answer(number, module, name, args, kwargs))


def hello() -> dict[str, object]:
    """Facts about the kernel: ``release``, ``cpus`` online; in bytes ``memory``, ``page_size``, ``btf_size``."""
    try:
        btf_size = os.stat("/sys/kernel/btf/vmlinux").st_size
    except FileNotFoundError:
        btf_size = 0
    try:
        with open("/sys/kernel/notes", "rb") as file:
            notes = file.read()
    except OSError:
        notes = b""
    return {
        "release": os.uname().release,
        "page_size": os.sysconf("SC_PAGE_SIZE"),
        "memory": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "cpus": os.sysconf("SC_NPROCESSORS_ONLN"),
        "btf_size": btf_size,
        "build_id": build_id.find(notes),
        "python": sys.version.split()[0],
        "boot_seconds": float(read_text("/proc/uptime").split()[0]),
    }


def read_text(path: str) -> str:
    """A file's content."""
    with open(path) as file:
        return file.read()


def write_text(path: str, text: str) -> None:
    """Write ``text`` to a file in one go."""
    with open(path, "w") as file:
        file.write(text)


def read_numbers(path: str) -> dict[str, int]:
    """A file of a name and a number a line, such as /proc/vmstat."""
    return {name: int(number) for name, number in (line.split() for line in read_text(path).splitlines())}


def ping() -> int:
    """Answer at once: the cost of a request and nothing else."""
    return os.getpid()


def run_on(cpus: list[int]) -> list[int]:
    """Answer requests on these CPUs only. Returns those that it did so on before."""
    before = sorted(allowed())
    os.sched_setaffinity(0, cpus)
    return before


def _answer(number: int, module: str, name: str, args: list[Any], kwargs: dict[str, Any]) -> tuple[object, ...]:
    try:
        function = import_module(module)
        for part in name.split("."):
            function = getattr(function, part)
        return number, True, function(*args, **kwargs)  # type: ignore[operator]
    except BaseException as error:  # the host must learn of whatever it was
        return (
            number,
            False,
            (
                type(error).__name__,
                str(error),
                traceback.format_exc(),
                getattr(error, "errno", None),
                getattr(error, "log", ""),
            ),
        )
