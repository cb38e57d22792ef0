# SPDX-License-Identifier: GPL-2.0-only
"""A laboratory whose times are made up, and records of what it measures."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from kfunctest.bench.kfunc import samples as names
from kfunctest.bench.kfunc.items import Items
from kfunctest.bench.kfunc.runs import Found
from kfunctest.bench.kfunc.samples import Figures, Run

ITEMS = Items(("NR_ANON_MAPPED", "NR_SHMEM", "PGFAULT"), (1, 2), (3,))
STAT = {"anon": 4096, "shmem": 8192, "pgfault": 7, "unknown": 1}
READ = {"anon": 4096, "shmem": 8192, "pgfault": 7}
#: Seconds a pass of each side.
COSTS = {"sscanf": 40e-6, "hand": 20e-6, "raw": 13e-6, "kfuncs": 3e-6, "python": 50e-6}
ABOUT: dict[str, str | int | None] = {
    "kernel": "7.9.1",
    "accelerator": "kvm",
    "clock": "time",
    "why": "a test's",
    "machine": "a CPU",
    "cpus": 2,
    "memcg": "the root memcg",
    "reader": "the root memcg",
    "items": 3,
    "patchs_items": 2,
}


class PlayedLab:
    """Takes as long as it is told, and reads what it is told. ``at_call`` is called before each run with its number."""

    def __init__(self, at_call: Callable[[int], None] = lambda _number: None) -> None:
        self.calls: list[str] = []
        self.stat, self.read = dict(STAT), dict(READ)
        self.tree_size = 1
        self._at_call = at_call

    def _found(self, what: str, cost: float, passes: int, rows: Sequence[tuple[int | None, dict[str, int]]]) -> Found:
        self._at_call(len(self.calls))
        self.calls.append(what)
        spent = cost * passes
        return Found(Run(passes, spent, spent * 0.6, spent * 0.4, spent * 0.5), tuple(rows))

    def files(self, way: str, paths: Sequence[str], passes: int, _seconds: float) -> Found:
        return self._found(way, COSTS[way] * len(paths), passes, [(None, self.stat) for _ in paths])

    def kfuncs(
        self, items: Items | None, _path: str, passes: int, _seconds: float, *, tree: bool = False, **_how: Any
    ) -> Found:
        size = self.tree_size if tree else 1
        rows = [(100 + number, self.read) for number in range(size)] if items else []
        return self._found("kfuncs" if items is ITEMS or items is None else "patch", 3e-6 * size, passes, rows)

    def python_file(self, _path: str, passes: int, _seconds: float) -> Found:
        return self._found("python file", COSTS["python"], passes, [(None, self.stat)])

    def python_kfuncs(self, _items: Items, _path: str, passes: int, _seconds: float) -> Found:
        return self._found("python kfuncs", COSTS["kfuncs"], passes, [(None, self.read)])

    def both(self, _items: Items, _path: str, tries: int) -> list[tuple[dict[str, int], ...]]:
        return [(self.stat, self.read, self.stat)] * tries


class PlayedTarget:
    """A machine that makes and removes trees in no time."""

    prefix, lost = "", None

    def __init__(self, lab: PlayedLab) -> None:
        self._lab = lab
        self.trees: list[str] = []

    def stretched(self, seconds: float) -> float:
        return seconds

    def call_within(self, _seconds: float, function: Callable[..., object], *args: Any) -> object:
        self.trees.append(function.__name__)
        if function.__name__ == "plant":
            self._lab.tree_size = args[1]
            return [100 + number for number in range(args[1])]
        return True


def noisy(
    ratio: float, seed: int, *, rounds: int = 7, noise: float = 0.05, drift: float = 0.5, **about: Any
) -> Figures:
    """A record whose kfuncs take ``ratio`` of the control's time.

    Each run is off by ``noise``, and both sides of a round by up to ``drift``, as on a machine that others use too.
    """
    chance = random.Random(seed)
    sides: dict[str, list[Run]] = {names.CONTROL: [], names.RAW: [], names.KFUNCS: []}
    for _ in range(rounds):
        machine = 1 + chance.random() * drift
        for name, cost in ((names.CONTROL, 40e-6), (names.RAW, 13e-6), (names.KFUNCS, 40e-6 * ratio)):
            real = cost * machine * chance.lognormvariate(0, noise) * 1000
            sides[name].append(Run(1000, real, real / 2, real / 2))
    return Figures({**ABOUT, **about}, sides, whole=True)
