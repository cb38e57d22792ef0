# SPDX-License-Identifier: GPL-2.0-only
"""One run of one side in a booted kernel, and what it found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from kfunctest.bench.kfunc.items import Items
from kfunctest.bench.kfunc.programs import Programs
from kfunctest.bench.kfunc.samples import Run
from kfunctest.errors import InfraError
from kfunctest.guest import bench
from kfunctest.guest.cgroup import ROOT
from kfunctest.machine.interface import Target

P = ParamSpec("P")
R = TypeVar("R")

#: Seconds with KVM that any run may take beyond what was asked of it: a program starts, and an object is loaded.
SLACK = 30.0
#: read_kfuncs.c: what its PARTS are.
GET, FLUSH = 1, 2


@dataclass(frozen=True, slots=True)
class Found:
    """What a run took, and the values of its last pass: for each memcg its id (None: by file), and values by key."""

    run: Run
    rows: tuple[tuple[int | None, dict[str, int]], ...] = ()


class Lab:
    """Runs every side in one booted kernel. Raises InfraError when a program fails there."""

    def __init__(self, target: Target, programs: Programs) -> None:
        self._target = target
        self._programs = programs

    def files(self, way: str, paths: Sequence[str], passes: int, seconds: float) -> Found:
        """The control: memory.stat of the cgroups at ``paths``; ``way`` as read_file.c takes it.

        ``seconds`` is what it is expected to take here, for the deadline.
        """
        files = [f"{ROOT}/{path}/memory.stat" if path else f"{ROOT}/memory.stat" for path in paths]
        argv = [self._target.file(self._programs.read_file), way, str(passes), *files]
        times, rows = self._ran(argv, seconds)
        return Found(_run(passes, times), tuple((None, _keyed(row)) for row in rows))

    def kfuncs(
        self,
        items: Items | None,
        path: str,
        passes: int,
        seconds: float,
        *,
        tree: bool = False,
        parts: int = GET | FLUSH,
        stats: bool = False,
    ) -> Found:
        """The experiment on the cgroup at ``path``, or on all of its tree; no items: only what ``parts`` says."""
        states, events = (items.states, items.events) if items else ((), ())
        argv = [
            self._target.file(self._programs.read_kfuncs),
            self._target.file(self._programs.bpf),
            f"{ROOT}/{path}",
            "tree" if tree else "self",
            *(str(passes), str(parts), _numbers(states), _numbers(events)),
            *(["stats"] if stats else []),
        ]
        times, rows = self._ran(argv, seconds)
        if stats and times["runs"] < passes:
            raise InfraError(f"the kernel counted {times['runs']} runs of the program in {passes} passes")
        found = []
        for row in rows:
            which, *values = map(int, row.split())
            found.append((which, items.by_key(values) if items else {}))
        return Found(_run(passes, times), tuple(found))

    def python_file(self, path: str, passes: int, seconds: float) -> Found:
        """memory.stat by a Python program."""
        file = f"{path}/memory.stat" if path else "memory.stat"
        times, values = self._call(seconds, bench.read_file, file, passes)
        return Found(_run_of(passes, times), ((None, values),))

    def python_kfuncs(self, items: Items, path: str, passes: int, seconds: float) -> Found:
        """The kfuncs by a Python program, through our binding."""
        where = self._target.file(self._programs.bpf)
        times, values = self._call(
            seconds, bench.read_kfuncs, where, path, list(items.states), list(items.events), passes
        )
        return Found(_run_of(passes, times), ((None, items.by_key(values)),))

    def both(self, items: Items, path: str, tries: int) -> list[tuple[dict[str, int], dict[str, int], dict[str, int]]]:
        """``tries`` times: memory.stat, what the kfuncs say, and memory.stat again, by one process."""
        where = self._target.file(self._programs.bpf)
        asked = self._call(0, bench.both, where, path, list(items.states), list(items.events), tries)
        return [(before, items.by_key(values), after) for before, values, after in asked]

    def _ran(self, argv: list[str], seconds: float) -> tuple[dict[str, int], list[str]]:
        status, out, err = self._call(seconds, bench.run, argv)
        if status:
            said = err.strip().splitlines() or [f"status {status}"]
            raise InfraError(f"{argv[0].rpartition('/')[2]} failed in the guest: {said[-1]}", evidence=err.strip())
        lines = [line.partition(" ") for line in out.splitlines()]
        return (
            {name: int(number) for name, _, number in lines if name != "row"},
            [row for name, _, row in lines if name == "row"],
        )

    def _call(self, seconds: float, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        # ``seconds`` were measured here, so the target's stretching of them is patience for a machine that gets busy.
        return self._target.call_within(SLACK + 2 * seconds, function, *args, **kwargs)


def _keyed(row: str) -> dict[str, int]:
    return {key: int(value) for key, _, value in (word.partition("=") for word in row.split())}


def _numbers(numbers: Sequence[int]) -> str:
    return ",".join(map(str, numbers)) or "-"


def _run(passes: int, times: dict[str, int]) -> Run:
    """A program's times, which it tells in nanoseconds."""
    program = times["program"] / 1e9 if "program" in times else None
    return Run(passes, times["real"] / 1e9, times["user"] / 1e9, times["system"] / 1e9, program)


def _run_of(passes: int, times: tuple[int, int, int]) -> Run:
    return Run(passes, times[0] / 1e9, times[1] / 1e9, times[2] / 1e9)
