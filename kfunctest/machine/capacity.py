# SPDX-License-Identifier: GPL-2.0-only
"""How many VMs this machine holds at once, by its memory and its CPUs, and by the limits of the container we are in."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kfunctest.errors import SpecError

MiB = 1 << 20
GiB = 1 << 30
#: What a VM takes of the host beyond its own memory: QEMU with its translated code, virtme-ng's processes, the
#: supervisor, and the pytest that asks. `scripts/bench memory` measures it. Of QEMU alone 47 MiB (booting) to 207 MiB
#: (amid the suite) were seen under TCG with kernels of 7.2.
OVERHEAD = 512 * MiB
#: What is left to everything else.
SPARE = 256 * MiB


@dataclass(frozen=True, slots=True)
class Room:
    """What there is to share out: ``memory`` in bytes that can be had without swapping, and CPUs."""

    memory: int
    cpus: int

    def holds(self, memory: int) -> int:
        """How many VMs of ``memory`` bytes fit, by memory alone; may be 0."""
        return max(0, self.memory - SPARE) // (memory + OVERHEAD)

    def workers(self, memory: int, threads: int) -> int:
        """How many VMs of ``memory`` bytes and ``threads`` busy host threads each are run at once: one at least."""
        return max(1, min(self.holds(memory), self.cpus // threads))

    def check(self, count: int, size: str) -> None:
        """Raise SpecError where ``count`` VMs of ``size`` (as ``--memory`` takes it) would exhaust the memory."""
        memory = size_of(size)
        if count <= (fit := self.holds(memory)):
            return
        need = count * (memory + OVERHEAD) + SPARE
        remedy = f"use -n {fit}, or a smaller --memory" if fit > 1 else "leave out -n, or use a smaller --memory"
        raise SpecError(
            f"{count} VMs of {size} at once need {need / GiB:.1f} GiB, and {self.memory / GiB:.1f} GiB are available",
            remedy=remedy,
        )


def check_one(size: str, root: Path = Path("/")) -> None:
    """Raise SpecError where one VM of ``size`` is larger than this machine, or the container that we are in.

    What others use now is not reckoned with: QEMU takes its memory as the guest touches it.
    """
    limits = [_meminfo(root, "MemTotal"), *(limit for group in _groups(root) if (limit := _memory_max(group)))]
    if size_of(size) > min(limits):
        raise SpecError(
            f"a VM of {size} does not fit: there are {min(limits) / GiB:.1f} GiB here", remedy="use a smaller --memory"
        )


def size_of(text: str) -> int:
    """The bytes of a size like ``1G`` or ``768M``."""
    return int(text[:-1]) * {"M": MiB, "G": GiB}[text[-1]]


def room(root: Path = Path("/")) -> Room:
    """What this machine has left now. ``root`` is where its /proc and /sys are, for tests."""
    groups = list(_groups(root))
    # What can be had without swapping, as the kernel estimates it (filesystems/proc.rst).
    memory = [_meminfo(root, "MemAvailable"), *(left for group in groups if (left := _memory_left(group)) is not None)]
    cpus = [_cpus(root), *(quota for group in groups if (quota := _cpu_quota(group)) is not None)]
    return Room(min(memory), max(1, min(cpus)))


def _meminfo(root: Path, name: str) -> int:
    """A line of /proc/meminfo, in bytes."""
    found = re.search(rf"^{name}:\s+(\d+) kB$", (root / "proc/meminfo").read_text(), re.MULTILINE)
    return int(found[1]) << 10 if found else 0


def _cpus(root: Path) -> int:
    """The CPUs that we may use: those that ``taskset`` or a container left us."""
    if root == Path("/"):
        return len(os.sched_getaffinity(0))
    return len(re.findall(r"^processor\s*:", (root / "proc/cpuinfo").read_text(), re.MULTILINE))


def _groups(root: Path) -> Iterator[Path]:
    """Our cgroup of version 2 and those above it. In a container the mount shows it as the root, limits and all."""
    with suppress(OSError):
        found = re.search(r"^0::/(.*)$", (root / "proc/self/cgroup").read_text(), re.MULTILINE)
        mount = root / "sys/fs/cgroup"
        if found and not found[1].startswith(".."):
            inside = Path(found[1])
            yield from (mount / group for group in (inside, *inside.parents))


def _memory_max(group: Path) -> int | None:
    """Bytes that memory.max allows; None where there is no limit."""
    try:
        limit = (group / "memory.max").read_text().strip()
    except OSError:
        return None
    return None if limit == "max" else int(limit)


def _memory_left(group: Path) -> int | None:
    """Bytes up to memory.max, page cache counted as free; None where there is no limit."""
    limit = _memory_max(group)
    try:
        used = int((group / "memory.current").read_text())
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except OSError:
        return None
    cached = int(stat.get("inactive_file", 0)) + int(stat.get("active_file", 0))
    return None if limit is None else max(0, limit - used + cached)


def _cpu_quota(group: Path) -> int | None:
    """CPUs that cpu.max allows, a started one counted whole; None where there is no limit."""
    try:
        quota, period = (group / "cpu.max").read_text().split()
    except OSError:
        return None
    return None if quota == "max" else math.ceil(int(quota) / int(period))
