# SPDX-License-Identifier: GPL-2.0-only
"""The experiment: what is run in which order, how often and for how long."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from kfunctest.bench.kfunc import samples as names
from kfunctest.bench.kfunc import values
from kfunctest.bench.kfunc.items import Items
from kfunctest.bench.kfunc.runs import FLUSH, GET, Found, Lab
from kfunctest.bench.kfunc.samples import Figures, Run, Runs
from kfunctest.errors import InfraError
from kfunctest.guest import bench
from kfunctest.machine.interface import Target

#: Memcgs in a tree.
SIZES = (1, 10, 100, 1000)
#: What may be asked for.
ROOT_FIGURE, PYTHON, TREES, PARTS = FIGURES = ("root", "python", "trees", "parts")
#: Samples of which one must agree, of a machine on which nothing else is going on.
SAMPLES = 10
#: Times that a tree in which nothing happens is read before it is said to be read wrongly.
TRIES = 3
#: Seconds with KVM until a flush of the kernel's own, every 2 s unless the CPU idles, has reached every memcg.
SETTLE_SECONDS = 30.0

#: Where the number of passes is given, one in so many is made to warm up.
WARM_UP = 50

#: A side: how many passes to make and how many seconds that should take, to what it found.
Side = Callable[[int, float], Found]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to measure: rounds, and in each either so many seconds or so many passes a side; which figures."""

    rounds: int = 7
    seconds: float = 2.0
    passes: int | None = None
    figures: tuple[str, ...] = FIGURES
    #: How many of the clock's units, for what is said of a round, are a second.
    per_second: float = 1e6
    sizes: tuple[int, ...] = SIZES


class Experiment:
    """Fills ``figures`` as it goes: whatever ends it, what was measured so far is there."""

    def __init__(
        self,
        lab: Lab,
        target: Target,
        items: Mapping[str, Items],
        plan: Plan,
        figures: Figures,
        say: Callable[[str], None],
    ) -> None:
        self._lab, self._target, self._plan, self._say = lab, target, plan, say
        self._all, self._patchs = items[names.KFUNCS], items[names.PATCHS]
        self.figures = figures

    def run(self) -> None:
        """Everything that was asked for, in order. Raises InfraError, and what a target raises."""
        self._check("", "root")
        steps = {ROOT_FIGURE: self._root, PYTHON: self._python, TREES: self._trees, PARTS: self._parts}
        for name in self._plan.figures:
            steps[name]()
        self._check("", "root, at the end")
        self.figures.whole = True

    def _check(self, path: str, where: str) -> None:
        samples = self._lab.both(self._all, path, SAMPLES)
        self._judge(where, values.disagreements(samples), values.compared(samples[0][0], samples[0][1]))

    def _judge(self, where: str, wrong: list[str], compared: int) -> None:
        if wrong:
            self.figures.wrong += [f"{where}: {line}" for line in wrong]
            self._say(f"WRONG in {where}: {wrong[0]}")
        elif compared:
            self.figures.equal.append(f"{where}: {compared} values")

    def _root(self) -> None:
        lab, items = self._lab, self._all
        self._rounds(
            "root",
            self.figures.sides,
            {
                names.CONTROL: lambda passes, seconds: lab.files("sscanf", [""], passes, seconds),
                names.BY_HAND: lambda passes, seconds: lab.files("hand", [""], passes, seconds),
                names.RAW: lambda passes, seconds: lab.files("raw", [""], passes, seconds),
                names.KFUNCS: lambda passes, seconds: lab.kfuncs(items, "", passes, seconds),
                names.PATCHS: lambda passes, seconds: lab.kfuncs(self._patchs, "", passes, seconds),
            },
        )

    def _python(self) -> None:
        lab, items = self._lab, self._all
        self._rounds(
            "root, by Python",
            self.figures.sides,
            {
                names.PYTHON_FILE: lambda passes, seconds: lab.python_file("", passes, seconds),
                names.PYTHON_KFUNCS: lambda passes, seconds: lab.python_kfuncs(items, "", passes, seconds),
            },
        )

    def _parts(self) -> None:
        lab, items = self._lab, self._all
        steps: dict[str, tuple[Items | None, int]] = {
            names.NOTHING: (None, 0),
            names.GET: (None, GET),
            names.FLUSH: (None, GET | FLUSH),
            names.EVERYTHING: (items, GET | FLUSH),
        }

        def side(read: Items | None, parts: int) -> Side:
            return lambda passes, seconds: lab.kfuncs(read, "", passes, seconds, parts=parts, stats=True)

        self._rounds("where the time goes", self.figures.parts, {name: side(*step) for name, step in steps.items()})

    def _trees(self) -> None:
        for size in self._plan.sizes:
            self._tree(size)

    def _tree(self, size: int) -> None:
        path, lab = f"{self._target.prefix}bench", self._lab
        self._say(f"a tree of {size} memcgs: making it")
        ids = self._target.call_within(SETTLE_SECONDS, bench.plant, path, size)
        try:
            if not self._target.call_within(
                3 * SETTLE_SECONDS, bench.settle, path, size, self._target.stretched(SETTLE_SECONDS)
            ):
                raise InfraError(f"the kernel did not flush a tree of {size} memcgs in {SETTLE_SECONDS:g} s")
            places = [path, *(f"{path}/{number}" for number in range(size - 1))]
            last: dict[str, Found] = {}

            def files(passes: int, seconds: float) -> Found:
                last[names.FILES] = lab.files("sscanf", places, passes, seconds)
                return last[names.FILES]

            def iterator(passes: int, seconds: float) -> Found:
                last[names.ITERATOR] = lab.kfuncs(self._all, path, passes, seconds, tree=True)
                return last[names.ITERATOR]

            runs = self.figures.trees.setdefault(size, {})
            self._rounds(f"a tree of {size}", runs, {names.FILES: files, names.ITERATOR: iterator})
            # What the timed runs themselves read: nothing has happened in the tree since.
            wrong, compared = self._compared_tree(size, ids, last)
            for _ in range(TRIES - 1):
                # A flush of the kernel's own may have come in between: then it does not come again.
                if wrong:
                    files(1, self._plan.seconds)
                    iterator(1, self._plan.seconds)
                    wrong, compared = self._compared_tree(size, ids, last)
            self._judge(f"a tree of {size}", wrong, compared)
        finally:
            if not self._target.lost:
                self._target.call_within(SETTLE_SECONDS, bench.uproot, path, size, self._target.stretched(2.0))

    def _compared_tree(self, size: int, ids: list[int], last: Mapping[str, Found]) -> tuple[list[str], int]:
        by_file = [row for _, row in last[names.FILES].rows]
        by_id = dict(last[names.ITERATOR].rows)
        wrong = [] if len(by_id) == size else [f"the iterator visited {len(by_id)} of {size} memcgs"]
        for number, (which, file) in enumerate(zip(ids, by_file, strict=True)):
            if which in by_id:
                wrong += [f"memcg {number}: {line}" for line in values.differences(file, by_id[which])]
        compared = sum(values.compared(file, by_id.get(which, {})) for which, file in zip(ids, by_file, strict=True))
        return wrong, compared

    def _rounds(self, what: str, runs: Runs, sides: Mapping[str, Side]) -> None:
        """Run all sides one after the other, round by round, every other round in the opposite order."""
        counts = {name: self._passes(side) for name, side in sides.items()}
        said = ", ".join(f"{passes} of {name}" for name, (passes, _) in counts.items())
        self._say(f"{what}: passes a round: {said}")
        start = time.monotonic()
        for number in range(self._plan.rounds):
            took: dict[str, Run] = {}
            for name in list(sides)[:: -1 if number % 2 else 1]:
                took[name] = sides[name](*counts[name]).run
            for name in sides:
                runs.setdefault(name, []).append(took[name])
            left = (time.monotonic() - start) / (number + 1) * (self._plan.rounds - number - 1)
            said = ", ".join(f"{name} {took[name].each * self._plan.per_second:.1f}" for name in sides)
            self._say(f"{what}: round {number + 1} of {self._plan.rounds}: {said}; {left:.0f} s left")

    def _passes(self, side: Side) -> tuple[int, float]:
        """How many passes a round has, and the seconds that they take. The run that finds out also warms up."""
        if self._plan.passes:
            some = max(1, self._plan.passes // WARM_UP)
            return self._plan.passes, side(some, self._plan.seconds).run.each * self._plan.passes
        passes, aim = 1, self._plan.seconds
        while (took := side(passes, aim).run.real) < aim / 10:
            # Far enough to get there soon, and no further than a first pass, which is slow, can tell.
            passes = min(20 * passes, max(2 * passes, round(passes * aim / 5 / max(took, 1e-6))))
        return max(1, round(passes * aim / took)), aim
