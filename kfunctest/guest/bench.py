# SPDX-License-Identifier: GPL-2.0-only
"""What the performance experiment runs in the guest: programs to their end, and the two ways that Python has."""

from __future__ import annotations

import mmap
import os
import resource
import time

from kfunctest.guest.cgroup import ROOT, create, create_many, delegate_memory, read_keys, remove, remove_many
from kfunctest.guest.libbpf import Object

#: Descriptors that a reader of a thousand files needs.
FILES = 4096
#: asm-generic/mman-common.h; Python has no name for it.
_MADV_COLD = 20
#: Nanoseconds that passed, and of them in user and in kernel mode.
Times = tuple[int, int, int]

_kept: list[int] = []


def run(argv: list[str]) -> tuple[int, str, str]:
    """Run a program to its end: its exit status (negative: the signal), and what it wrote to stdout and to stderr."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(FILES, hard) if hard > 0 else FILES, hard))
    out, err = os.memfd_create("out"), os.memfd_create("err")
    try:
        actions = [(os.POSIX_SPAWN_DUP2, out, 1), (os.POSIX_SPAWN_DUP2, err, 2)]
        pid = os.posix_spawn(argv[0], argv, dict(os.environ), file_actions=actions)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return status, _text(out), _text(err)
    finally:
        os.close(out)
        os.close(err)


def _text(fd: int) -> str:
    os.lseek(fd, 0, os.SEEK_SET)
    with open(fd, errors="replace", closefd=False) as file:
        return file.read()


def read_file(path: str, passes: int) -> tuple[Times, dict[str, int]]:
    """Read and decode a flat-keyed file of a cgroup ``passes`` times, as a Python program does it that cares for speed.

    Returns what it took, and the values of the last pass.
    """
    found: dict[bytes, int] = {}
    fd = os.open(f"{ROOT}/{path}", os.O_RDONLY)
    try:
        start = _now()
        for _ in range(passes):
            words = os.pread(fd, 1 << 16, 0).split()
            found = dict(zip(words[::2], map(int, words[1::2]), strict=True))
        took = _since(start)
    finally:
        os.close(fd)
    return took, {key.decode(): value for key, value in found.items()}


class Reader:
    """bench.bpf.c through our binding, on one cgroup: what :func:`read_file` is compared with."""

    def __init__(self, path: str, cgroup: str, states: list[int], events: list[int]) -> None:
        self.count = len(states) + len(events)
        self._object = Object(path)
        setup = self._object.globals["setup"]
        setup.get = setup.flush = 1
        setup.nstates, setup.nitems = len(states), self.count
        setup.items[: self.count] = states + events
        self._object.load()
        self._result = self._object.globals["result"]
        self._link = self._object.programs["read_items"].attach_cgroup_iter(f"{ROOT}/{cgroup}")

    def values(self) -> list[int]:
        """One pass: the items' values in their order; none where there is no memcg."""
        self._result.visited = 0
        self._link.read()
        return self._result.rows[0].values[: self.count] if self._result.visited else []

    def close(self) -> None:
        """Detach and unload."""
        self._link.close()
        self._object.close()


def read_kfuncs(path: str, cgroup: str, states: list[int], events: list[int], passes: int) -> tuple[Times, list[int]]:
    """Read a cgroup's items ``passes`` times through our binding. Returns what it took, and the last values."""
    reader = Reader(path, cgroup, states, events)
    try:
        found: list[int] = []
        start = _now()
        for _ in range(passes):
            found = reader.values()
        return _since(start), found
    finally:
        reader.close()


def both(
    path: str, cgroup: str, states: list[int], events: list[int], tries: int
) -> list[tuple[dict[str, int], list[int], dict[str, int]]]:
    """``tries`` times memory.stat, the items through the kfuncs, and memory.stat again, with nothing in between."""
    reader = Reader(path, cgroup, states, events)
    fd = os.open(f"{ROOT}/{cgroup}/memory.stat", os.O_RDONLY)
    try:
        return [
            (_decoded(before), values, _decoded(after))
            for before, values, after in [
                (os.pread(fd, 1 << 16, 0), reader.values(), os.pread(fd, 1 << 16, 0)) for _ in range(tries)
            ]
        ]
    finally:
        os.close(fd)
        reader.close()


def plant(path: str, count: int) -> list[int]:
    """Make a tree of ``count`` memcgs, ``path`` and ``0`` ... ``count - 2`` below it, each leaf charged its own pages.

    They are pages of a file in memory, written by a process that passes through the leaves and ends; they live until
    :func:`uproot`. Returns the ids of ``path`` and of the cgroups below it, in this order.
    """
    create(path)
    if count > 1:
        delegate_memory(path)
        create_many(path, count - 1)
    places = _places(path, count)
    _kept.append(os.memfd_create("pages"))
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            _pass_through(places, _kept[-1])
            status = 0
        finally:
            os._exit(status)
    if os.waitpid(pid, 0)[1]:
        raise OSError(f"the process that passes through {path} failed")
    return [os.stat(f"{ROOT}/{place}").st_ino for place in places]


def _places(path: str, count: int) -> list[str]:
    return [path, *(f"{path}/{number}" for number in range(count - 1))]


def _pass_through(places: list[str], fd: int) -> None:
    at = 0
    for number, place in list(enumerate(places))[-len(places[1:]) :]:
        with open(f"{ROOT}/{place}/cgroup.procs", "w") as procs:
            procs.write("0")
        for _ in range(pages(number)):
            os.pwrite(fd, b"x", at)
            at += mmap.PAGESIZE


def pages(number: int) -> int:
    """How many pages the leaf at this place of the tree is charged."""
    return 1 + number % 7


def uproot(path: str, count: int, seconds: float) -> None:
    """Remove what :func:`plant` made."""
    os.close(_kept.pop())
    if count > 1:
        remove_many(path, count - 1)
    remove(path, seconds)


def settle(path: str, count: int, seconds: float) -> bool:
    """Wait until memory.stat of every cgroup of the tree shows its pages, and on its LRU lists too.

    Few updates flush nothing, whoever reads; the kernel flushes all of them now and then. Returns whether it came to
    that within ``seconds``.
    """
    deadline = time.monotonic() + seconds
    wanted = [pages(number) * mmap.PAGESIZE for number in range(count)]
    wanted[0] = sum(wanted[1:]) or wanted[0]
    _drain()
    for place, size in zip(_places(path, count), wanted, strict=True):
        while not _shows(read_keys(place, "memory.stat"), size):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
    return True


def _shows(stat: dict[str, int], size: int) -> bool:
    return stat["shmem"] == stat["active_anon"] + stat["inactive_anon"] + stat["unevictable"] == size


def _drain() -> None:
    """Move what each CPU has gathered to the LRU lists: madvise_cold(), mm/madvise.c, does that on its own CPU."""
    cpus = os.sched_getaffinity(0)
    try:
        with mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as area:
            for cpu in cpus:
                os.sched_setaffinity(0, {cpu})
                area.madvise(_MADV_COLD)
    finally:
        os.sched_setaffinity(0, cpus)


def _decoded(text: bytes) -> dict[str, int]:
    return {key: int(value) for key, value in (line.split() for line in text.decode().splitlines())}


def _now() -> Times:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return time.monotonic_ns(), round(usage.ru_utime * 1e9), round(usage.ru_stime * 1e9)


def _since(start: Times) -> Times:
    now = _now()
    return now[0] - start[0], now[1] - start[1], now[2] - start[2]
