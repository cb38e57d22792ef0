# SPDX-License-Identifier: GPL-2.0-only
"""A memory cgroup of a running kernel, with a worker inside that does what the test says."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from kfunctest.errors import GuestError
from kfunctest.guest import cgroup, removal, workers
from kfunctest.machine.interface import Target
from kfunctest.tolerances import surely_flushed

KiB = 1 << 10
MiB = 1 << 20

#: Seconds (with KVM) that a removed cgroup's last process may need to leave it after its death.
LEAVE_SECONDS = 2.0
#: Seconds (with KVM) for the end of workers, whose memory may be gigabytes, and for the grace periods after removals.
END_SECONDS = 12.0


class Memcg:
    """A cgroup with the memory controller. Made on entering, removed with its children on leaving; a leak is an error.

    Workloads run in a worker process inside the memcg, so the kernel charges them to it, while the test's own BPF
    programs and file reads run outside and charge nothing to it.
    """

    def __init__(self, target: Target, path: str) -> None:
        self._target = target
        #: The path below the cgroup mount.
        self.path = path
        self.id = 0
        self._worker = 0
        self._delegated = False
        self._children: list[Memcg] = []

    def __enter__(self) -> Memcg:
        self.id = self._target.call(cgroup.create, self.path)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._target.lost:
            return
        # From the leaves up: one wait is enough for all of them.
        family = self.family()
        pids = [pid for memcg in family if (pid := memcg.let_go())]
        seconds = self._target.stretched(LEAVE_SECONDS)
        paths = [memcg.path for memcg in family]
        settle = "/" not in self.path  # else it is done when the memcg above ends
        longest = END_SECONDS + len(family) * LEAVE_SECONDS
        self._target.call_within(longest, removal.end, pids, paths, seconds, settle)

    def family(self) -> list[Memcg]:
        """The memcgs that were made by child(), from the leaves up, and this one."""
        return [*(memcg for child in reversed(self._children) for memcg in child.family()), self]

    def let_go(self) -> int:
        """Give up the worker, without an end to it. Returns its process id, 0 where there is none."""
        pid, self._worker = self._worker, 0
        return pid

    def child(self, name: str = "child") -> Memcg:
        """A memcg below this one, removed with it. No process may be in this one then: they live in leaves."""
        if not self._delegated:
            self._target.call(cgroup.delegate_memory, self.path)
            self._delegated = True
        made = Memcg(self._target, f"{self.path}/{name}")
        made.id = self._target.call(cgroup.create, made.path)
        self._children.append(made)
        return made

    def charge_anon(self, size: int) -> int:
        """Touch ``size`` bytes of private memory in base pages, and keep them. Returns the bytes touched."""
        return self._work("charge_anon", size)

    def release_anon(self) -> int:
        """Unmap what charge_anon() kept. Returns the bytes unmapped."""
        return self._work("release_anon")

    def charge_shmem(self, size: int) -> int:
        """Touch ``size`` bytes of a shared anonymous mapping, charged as shmem, and keep them."""
        return self._work("charge_shmem", size)

    def release_shmem(self) -> int:
        """Unmap what charge_shmem() kept. Returns the bytes unmapped."""
        return self._work("release_shmem")

    def fault(self, pages: int) -> int:
        """Take one minor fault on each of ``pages`` fresh pages, then free them. Returns the pages."""
        return self._work("fault", pages)

    def stir(self, cpus: int) -> int:
        """Take as many faults as make the next flush one of all that the worker did before. Returns their number.

        Unless the kernel's flusher strikes meanwhile and forgets them: :meth:`kfunctest.machine.kfuncs.Kfuncs.settled`.
        """
        return self.fault(surely_flushed(cpus))

    def stir_ancestors(self, cpus: int) -> int:
        """Make the next flush such a one of each ancestor as well. Returns the faults.

        An update climbs only as far as the first memcg that has enough pending already (memcg_rstat_updated(),
        mm/memcontrol.c). Where the kernel's flusher was done with an ancestor a moment after this memcg had got there
        again, nothing reaches that ancestor before this memcg is flushed, as a reader of its memory.stat does it. What
        climbs then can be short by what CPUs hold back, so it takes a second round, and a third for what was under way.
        """
        taken = 0
        for _ in range(3):
            self.stat()
            taken += self.stir(cpus)
        return taken

    def stat_below(self, top: Memcg | None) -> None:
        """Read memory.stat of this memcg and of those above it that are below ``top`` (None: root), from below.

        One of them may have enough pending while ``top`` has nothing, and keep all further updates to itself: where the
        kernel's flusher set the count of ``top`` to zero, but not that one's, which had counted on another CPU only.
        """
        path = self.path
        while path and path != (top.path if top else ""):
            self._target.call(cgroup.read_keys, path, "memory.stat")
            path = path.rpartition("/")[0]

    def write_file(self, path: str, size: int) -> int:
        """Write ``size`` bytes to the guest's file ``path``. The VM's writable folders are tmpfs: charged as shmem."""
        return self._work("write_file", path, size)

    def pin(self, cpu: int) -> None:
        """Keep the worker on this CPU from now on."""
        self._work("pin", cpu)

    def fork_children(self, count: int) -> int:
        """Start ``count`` processes that sleep beside the worker and end with it. Returns ``count``."""
        return self._work("fork_children", count)

    def map_file(self, path: Path, size: int) -> int:
        """Map the start of a host's file that nothing else in the guest reads; charges page cache. Returns bytes."""
        return self._work("map_file", self._target.file(path), size)

    def touch_file(self) -> int:
        """Touch again what map_file() mapped: what was reclaimed is read again. Returns the bytes mapped."""
        return self._work("touch_file")

    def reclaim(self, size: int) -> None:
        """Ask the kernel to reclaim ``size`` bytes; it may find fewer."""
        try:
            self.write("memory.reclaim", str(size))
        except GuestError as error:
            if error.errno != errno.EAGAIN:
                raise

    @contextmanager
    def asking_from_inside(self) -> Iterator[None]:
        """Move the agent, and with it every test program that it runs, into this memcg; back to the root on leaving."""
        self._target.call(cgroup.write, self.path, "cgroup.procs", "0")
        try:
            yield
        finally:
            self._target.call(cgroup.write, "", "cgroup.procs", "0")

    def oom(self, size: int) -> str:
        """Charge ``size`` bytes, more than memory.max allows, and return how the worker died."""
        try:
            self.charge_anon(size)
        except GuestError as death:
            if death.kind != "WorkerDied":
                raise
            return death.message
        raise AssertionError(
            f"expected the kernel to kill the worker in {self.path}; it charged {size} bytes and lives"
        )

    def kill(self) -> None:
        """Kill the worker, if there is one; its memory is uncharged when this returns or a moment later."""
        if pid := self.let_go():
            self._target.call(workers.end, pid)

    def start(self) -> None:
        """Start the worker now, so that its own footprint is charged before something is measured."""
        if not self._worker:
            self._worker = self._target.call(workers.spawn, self.path)

    def current(self) -> int:
        """memory.current, in bytes."""
        return int(self.read("memory.current"))

    def stat(self) -> dict[str, int]:
        """memory.stat by key, in the file's own units. Reading it flushes, where enough is pending."""
        return self._target.call(cgroup.read_keys, self.path, "memory.stat")

    def events(self) -> dict[str, int]:
        """memory.events by key."""
        return self._target.call(cgroup.read_keys, self.path, "memory.events")

    def read(self, file: str) -> str:
        """Any file of the cgroup."""
        return self._target.call(cgroup.read, self.path, file)

    def write(self, file: str, text: str) -> None:
        """Write to a file of the cgroup, such as ``memory.max``."""
        self._target.call(cgroup.write, self.path, file, text)

    def do(self, command: str, *args: object) -> int:
        """Let the worker run any function of the modules ``workload*.py``, and return its number."""
        return self._work(command, *args)

    def _work(self, command: str, *args: object) -> int:
        self.start()
        try:
            return self._target.call_within(30, workers.work, self._worker, command, *args)
        except GuestError as error:
            if error.kind == "WorkerDied":
                self.let_go()
            raise
