# SPDX-License-Identifier: GPL-2.0-only
"""From names to a matrix: each kernel is built where it is not yet, judged, and repeated where asked for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final

from kfunctest.errors import InfraError, KfunctestError
from kfunctest.gate import matrix
from kfunctest.gate.lists import Lists
from kfunctest.gate.matrix import Row
from kfunctest.kernels.model import Kernel
from kfunctest.kernels.named import Named
from kfunctest.results import Outcome, Run
from kfunctest.trial.trials import ALL, Image, Trials

#: Where a kernel's first run and its repetitions lie, below its own folder.
FIRST: Final = "first"
EVIDENCE: Final = "error.txt"


@dataclass(frozen=True, slots=True)
class Gate:
    """How kernels are judged: ``get`` fetches or builds one, ``trials`` run the tests on it."""

    get: Callable[[str], Kernel]
    trials: Trials
    words: tuple[str, ...] = ()
    repeat: int = 0
    #: Kfuncs and enumerators that need not be tested.
    accepted: tuple[str, ...] = ()

    def row(self, entry: Named, lists: Lists) -> Row:
        """What came of this kernel. Never raises for what is wrong with it, what it is built from, or a full disk."""
        try:
            return self._row(entry, lists)
        except (OSError, InfraError) as error:
            return Row(entry.name, problem=str(error), folder=entry.name)

    def _row(self, entry: Named, lists: Lists) -> Row:
        own = self.trials.folder / entry.name
        own.mkdir(parents=True, exist_ok=True)
        try:
            kernel = self.get(entry.name)
        except KfunctestError as error:
            if error.evidence:
                (own / EVIDENCE).write_text(error.evidence, errors="backslashreplace")
            return Row(entry.name, problem=str(error), folder=entry.name)
        if not kernel.facts.kfuncs or not entry.kfuncs:
            return _without_kfuncs(entry, kernel, self.accepted)
        image = Image(entry.name, entry.name, kernel.image_digest)
        return self._repeated(image, self._run(image, FIRST), lists)

    def _run(self, image: Image, which: str, tests: Sequence[str] = ALL) -> Row:
        words = (*self.words, *(f"--accept-kfunc={one}" for one in self.accepted))
        ran = self.trials.run(image, f"{image.spec}/{which}", words, tests)
        return matrix.row(image.spec, ran, str(ran.folder.relative_to(self.trials.folder)))

    def _repeated(self, image: Image, first: Row, lists: Lists) -> Row:
        """The first run as it was, and beside it what the same tests came to when they were run again."""
        again = [
            test
            for test, result in first.results.items()
            if lists.counts(test) and (result.outcome.bad or result.outcome is Outcome.INFRA)
        ]
        runs: list[Run] = []
        lost: list[str] = []
        for number in range(1, self.repeat + 1) if again else ():
            row = self._run(image, f"repeat-{number}", again)
            runs += [row.run] if row.run else []
            lost += [row.problem] if row.problem else []
        return replace(first, repeats=tuple(runs), lost=tuple(lost))


def _without_kfuncs(entry: Named, kernel: Kernel, accepted: Collection[str]) -> Row:
    """A kernel that lacks all kfuncs, or should: what the suite would say of it is known without a boot."""
    if entry.kfuncs:
        return Row(entry.name, bad="it has none of the memcg BPF kfuncs", folder=entry.name)
    if kernel.facts.kfuncs:
        has = ", ".join(sorted(kernel.facts.kfuncs))
        bad = f"it has {has}, and kernels.toml says kfuncs = false"
        return Row(entry.name, bad=bad, folder=entry.name)
    if unknown := sorted(kernel.facts.unknown_kfuncs.difference(accepted)):
        problem = f"no test covers its kfunc {', '.join(unknown)}, and kernels.toml says kfuncs = false"
        return Row(entry.name, problem=problem, folder=entry.name)
    return Row(entry.name, absent=True, folder=entry.name)
