# SPDX-License-Identifier: GPL-2.0-only
"""Our slim build against what a user does today: ``vng --kconfig`` with options for BTF, BPF and memcg, then ``make``.

Both sides start from the same checked-out source, with empty object folders and without ccache, one after the other on
the same cores. CPU time is user and system time of all processes: it says what a build costs, whatever else runs.
"""

from __future__ import annotations

import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from kfunctest import proc
from kfunctest.errors import InfraError
from kfunctest.kernels import build_dir, config, fragments, make, spec, toolchain
from kfunctest.kernels.model import Kernel
from kfunctest.kernels.progress import Progress
from kfunctest.kernels.source import Source
from kfunctest.machine import host_checks
from kfunctest.machine.accelerator import Accelerator
from kfunctest.machine.console import Console
from kfunctest.machine.vm import Shape, boot

#: What today's user adds to virtme-ng's configuration, as an item each: what README.md says that the suite needs.
USUAL = (
    "CONFIG_BPF_SYSCALL=y",
    "CONFIG_BPF_JIT=y",
    "CONFIG_BPF_EVENTS=y",
    "CONFIG_DEBUG_INFO_BTF=y",
    "CONFIG_CGROUPS=y",
    "CONFIG_MEMCG=y",
    "CONFIG_CGROUP_BPF=y",
)
#: The file that changes for the warm build, and what is added to it: code, so that every later step has work.
CHANGED = Path("mm", "memcontrol.c")
CHANGE = "\nunsigned long kfunctest_warm_build(void);\nunsigned long kfunctest_warm_build(void)\n{\n\treturn 1;\n}\n"
SECONDS = 6 * 3600.0


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU and wall-clock seconds."""

    cpu: float
    wall: float


@dataclass
class Builds:
    """What was measured: one build each, and boots in pairs, in seconds from the start of virtme-ng to the hello."""

    cold: Cost
    warm: Cost
    usual: Cost
    ours_booted: list[float] = field(default_factory=list)
    debian_booted: list[float] = field(default_factory=list)

    def report(self) -> list[str]:
        """The lines to print: ratios of what ran side by side."""
        cold, warm, usual = self.cold, self.warm, self.usual
        lines = [
            f"a slim build takes {cold.cpu / usual.cpu:.2f} of the CPU time of vng --kconfig with options for BTF, BPF "
            f"and memcg, then make ({cold.cpu / 60:.1f} and {usual.cpu / 60:.1f} CPU minutes; of the wall clock "
            f"{cold.wall / usual.wall:.2f})",
            f"after a change of {CHANGED} it takes {warm.cpu / cold.cpu:.3f} of the CPU time of the cold one "
            f"({warm.cpu:.0f} CPU seconds; of the wall clock {warm.wall / cold.wall:.3f})",
        ]
        ratios = [ours / debian for ours, debian in zip(self.ours_booted, self.debian_booted, strict=False)]
        if ratios:
            lines.append(
                f"from start to the agent's hello it takes {statistics.median(ratios):.2f} of the time of Debian's "
                f"kernel (median of {len(ratios)} pairs, from {min(ratios):.2f} to {max(ratios):.2f})"
            )
        return lines


def builds(source: Source, debian: Kernel, accel: Accelerator, pairs: int, say: Callable[[str], None]) -> Builds:
    """Measure one cold, one warm and one usual build, then ``pairs`` boots of ours and of ``debian``, in turns.

    Raises what a build raises, and InfraError when the usual way does not give a kernel with BTF and memcg.
    """
    tools = replace(toolchain.find(source), ccache=None)
    with _own_slot(source) as place:
        say(f"ours, cold: {tools.compiler}, {len(os.sched_getaffinity(0))} jobs")
        cold = _spent(lambda: _ours(source, place, tools))
        say(f"  {cold.cpu:.0f} CPU s, {cold.wall:.0f} s; ours, warm:")
        original = (place.src / CHANGED).read_text()
        (place.src / CHANGED).write_text(original + CHANGE)
        warm = _spent(lambda: _make(place, tools))
        (place.src / CHANGED).write_text(original)
        say(f"  {warm.cpu:.0f} CPU s, {warm.wall:.0f} s; the usual way, cold:")
        usual = _spent(lambda: _usual(place.src, place.folder / "usual"))
        say(f"  {usual.cpu:.0f} CPU s, {usual.wall:.0f} s")
        found = Builds(cold, warm, usual)
        ours = spec.resolve(str(place.obj))
        for pair in range(pairs + 1):
            times = [_booted(kernel, accel, place.folder) for kernel in (ours, debian)]
            say(
                f"{f'pair {pair} of {pairs}' if pair else 'to warm up'}: {times[0]:.2f} s and {times[1]:.2f} s to hello"
            )
            if pair:
                found.ours_booted.append(times[0])
                found.debian_booted.append(times[1])
    return found


@contextmanager
def _own_slot(source: Source) -> Iterator[build_dir.Slot]:
    """A slot of this measurement's own, empty but for the source, and removed at the end, or before the next one."""
    with build_dir.opened("bench", ()) as place:
        try:
            build_dir.remove(place)  # of one that was killed
            place.obj.mkdir(parents=True)
            place.check_out(source.store, source.tree)
            yield place
        finally:
            build_dir.remove(place)


def _ours(source: Source, place: build_dir.Slot, tools: toolchain.Toolchain) -> None:
    wanted = fragments.load((), source.release)
    fragments.check(wanted, make.configure(place, tools, fragments.text(wanted), ()), place.src)
    _make(place, tools)


def _make(place: build_dir.Slot, tools: toolchain.Toolchain) -> None:
    make.build(place, tools, (), "slim", Progress())


def _usual(source: Path, objects: Path) -> None:
    objects.mkdir()
    env = {"KBUILD_OUTPUT": str(objects), "CCACHE_DISABLE": "1"}
    items = [word for option in USUAL for word in ("--configitem", option)]
    # virtme-ng starts its parts by name, and reads the user's settings below HOME.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    own = {"PATH": path, "HOME": str(objects)}
    proc.run([host_checks.vng(), "--kconfig", *items], seconds=SECONDS, cwd=source, env={**env, **own})
    final = dict(config.parse((objects / ".config").read_text()))
    lost = [option for option in USUAL if final.get(option.partition("=")[0]) != "y"]
    if lost:
        raise InfraError(f"vng --kconfig gave no {lost[0]}", remedy=f"look into {objects / '.config'}")
    jobs = len(os.sched_getaffinity(0))
    proc.run([proc.need("make"), f"-j{jobs}", f"O={objects}"], seconds=SECONDS, cwd=source, env=env)


def _booted(kernel: Kernel, accel: Accelerator, folder: Path) -> float:
    start = time.monotonic()
    with boot(kernel, accel, Console(folder / "console"), Shape()):
        return time.monotonic() - start


def _spent(work: Callable[[], object]) -> Cost:
    """What ``work`` and all the processes that it waited for took."""
    before, start = _cpu(), time.monotonic()
    work()
    return Cost(_cpu() - before, time.monotonic() - start)


def _cpu() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
