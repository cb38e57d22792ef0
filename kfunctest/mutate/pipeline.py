# SPDX-License-Identifier: GPL-2.0-only
"""Mutants one after the other: while one is judged, the kernel of the next one is built."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from kfunctest.errors import InfraError, SpecError
from kfunctest.mutate import judge
from kfunctest.mutate.catalogue import Mutant
from kfunctest.mutate.fate import Fate, Row
from kfunctest.trial.suite import Suite

#: From a mutant to what ``--kernel`` takes. Raises SpecError (its source does not build) or InfraError (the machine).
Builder = Callable[[Mutant], str]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """How mutants are built and judged; ``folder`` holds a folder for each."""

    folder: Path
    build: Builder
    suite: Suite

    def rows(self, mutants: Sequence[Mutant]) -> Iterator[Row]:
        """The fates, in this order. Whatever is wrong with one of them, the next one is judged."""
        with ThreadPoolExecutor(max_workers=1) as builders:
            built: list[Future[tuple[str, Row]]] = []
            try:
                for at, mutant in enumerate(mutants):
                    # One ahead, not all: what is built long before it is judged fills the disk for nothing.
                    for ahead in mutants[len(built) : at + 2]:
                        built.append(builders.submit(self._built, ahead))  # noqa: PERF401 (the list grows as we go)
                    kernel, row = built[at].result()
                    yield self._judged(mutant, kernel, row) if kernel else row
            finally:
                builders.shutdown(wait=False, cancel_futures=True)

    def _built(self, mutant: Mutant) -> tuple[str, Row]:
        start = time.monotonic()
        row = Row(mutant.id, Fate.INFRA, mutant.kind)
        try:
            kernel = self.build(mutant)
        except SpecError as error:
            return "", replace(row, fate=Fate.NOT_BUILT, message=judge.one_line(str(error)), built=_since(start))
        except (InfraError, OSError) as error:
            return "", replace(row, message=judge.one_line(str(error)), built=_since(start))
        return kernel, replace(row, built=_since(start))

    def _judged(self, mutant: Mutant, kernel: str, row: Row) -> Row:
        start = time.monotonic()
        folder = self.folder / mutant.id
        try:
            found = judge.judge(mutant, kernel, folder, self.suite)
        except OSError as error:
            found = replace(row, message=str(error))
        return replace(found, built=row.built, judged=_since(start), folder=mutant.id)


def _since(start: float) -> float:
    return round(time.monotonic() - start, 1)
