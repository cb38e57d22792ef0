# SPDX-License-Identifier: GPL-2.0-only
"""What a mutant costs, its build and its verdict together, against a plain incremental ``make`` of the same change."""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Final

from kfunctest.errors import InfraError
from kfunctest.kernels import build, build_dir, make, patches, toolchain
from kfunctest.kernels.build import Recipe
from kfunctest.kernels.progress import Progress
from kfunctest.mutate import building, judge
from kfunctest.mutate.catalogue import Mutant
from kfunctest.trial.log import Log
from kfunctest.trial.suite import Suite

#: How many mutants are taken where none is named.
SAMPLE: Final = 5


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds by the wall clock, one after the other on an otherwise idle machine."""

    built: float
    judged: float
    made: float

    @property
    def ratio(self) -> float:
        """Build and verdict, as a multiple of make alone."""
        return (self.built + self.judged) / self.made


@dataclass
class Costs:
    """What was measured so far."""

    found: list[Cost] = field(default_factory=list)
    #: False when Ctrl-C ended it early.
    whole: bool = False

    def report(self) -> list[str]:
        """The line that can be given of what there is."""
        if not self.found:
            return ["nothing was measured"]
        ratios = [cost.ratio for cost in self.found]
        verdicts = [cost.judged / cost.made for cost in self.found]
        return [
            f"a mutant, its build and its verdict together, takes {statistics.median(ratios):.2f} times as long as "
            f"make alone does for its change (median of {len(ratios)}, from {min(ratios):.2f} to {max(ratios):.2f}); "
            f"the verdict {statistics.median(verdicts):.2f}"
        ]


@dataclass(frozen=True, slots=True)
class Bench:
    """What the mutants are made upon, the suite that judges them, and where it leaves its results."""

    base: Recipe
    suite: Suite
    folder: Path

    def cost(self, mutant: Mutant) -> Cost:
        """Measure one, which has to be killed: build and verdict first, so that a ccache helps only make alone.

        Raises InfraError where it is not.
        """
        changed = replace(self.base, patches=(*self.base.patches, *patches.read([mutant.patch])))
        build.forget(changed)
        self._make(self.base)
        start = time.monotonic()
        kernel = building.builder(self.base)(mutant)
        built = time.monotonic()
        row = judge.judge(mutant, kernel, self.folder / mutant.id, self.suite)
        judged = time.monotonic()
        if not row.good:
            raise InfraError(f"{mutant.id} {row.fate}: {row.message or row.elsewhere}", remedy="mend it first")
        self._make(self.base)
        return Cost(built - start, judged - built, self._make(changed))

    def _make(self, recipe: Recipe) -> float:
        """Seconds of ``make`` in the place where mutants are built, upon whatever was built there last."""
        tools = toolchain.find(recipe.source)
        tree = patches.apply(recipe.source.store, recipe.source.tree, recipe.patches)
        with build_dir.opened(recipe.source.lineage, sorted(recipe.flavours)) as place, place.working():
            place.check_out(recipe.source.store, tree)
            start = time.monotonic()
            make.build(place, tools, recipe.flavours, "", Progress(io.StringIO()))
            return time.monotonic() - start


def mutants(bench: Bench, chosen: Sequence[Mutant], log: Log, say: Callable[[str], None]) -> Costs:
    """Measure these mutants in turn. Costs that are in ``log`` are taken over.

    Raises InfraError where one is not killed, and what a build raises.
    """
    costs = Costs([Cost(**entry["cost"]) for entry in log.entries if "cost" in entry])
    try:
        build.build(bench.base, Progress())  # of which every other one is a change
        for mutant in chosen[len(costs.found) :]:
            cost = bench.cost(mutant)
            log.add(cost=asdict(cost))
            costs.found.append(cost)
            say(
                f"{mutant.id}: built in {cost.built:.1f} s, judged in {cost.judged:.1f} s, "
                f"make alone {cost.made:.1f} s: {cost.ratio:.2f}"
            )
        costs.whole = True
    except KeyboardInterrupt:
        pass
    return costs
