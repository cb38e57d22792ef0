# SPDX-License-Identifier: GPL-2.0-only
"""What scripts/gate does: kernel by kernel, then the files and the verdict."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from kfunctest import cache, files, shell
from kfunctest.errors import SpecError
from kfunctest.gate import ci, html, lists, record, text, verdict
from kfunctest.gate.baseline import Baseline
from kfunctest.gate.lists import Lists
from kfunctest.gate.matrix import Matrix, Row
from kfunctest.gate.run import Gate
from kfunctest.gate.text import Page
from kfunctest.kernels import spec
from kfunctest.kernels.named import Named
from kfunctest.kernels.progress import Progress
from kfunctest.results import now
from kfunctest.trial import digest
from kfunctest.trial.suite import CHECKOUT, pytest_suite
from kfunctest.trial.trials import Trials
from kfunctest.trial.work import Work, work

RESULTS: Final = CHECKOUT / "results"
MATRIX: Final = "matrix.txt"
#: The gate's own to say.
_OURS: Final = ("--kernel", "--results")


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line asked for; ``words`` are pytest's, ``seconds`` what one kernel's tests may take."""

    entries: tuple[Named, ...]
    whole: bool
    argv: tuple[str, ...]
    words: tuple[str, ...]
    repeat: int
    seconds: float
    mirror: str | None
    results: Path
    #: Kfuncs and enumerators that need not be tested.
    accepted: tuple[str, ...] = ()
    #: Whether an unfinished run of the same is not resumed.
    fresh: bool = False

    @property
    def digest(self) -> str:
        """What tells it from any other gate: a run resumes only what this is the same for."""
        asked = [*(entry.name for entry in self.entries), "", *self.words, "", *self.accepted, self.mirror or ""]
        return cache.digest(digest.of_suite(), digest.of_machine(), str(self.repeat), *asked)


def checked(words: Sequence[str]) -> tuple[str, ...]:
    """Words for pytest. Raises SpecError for what the gate tells it itself."""
    for word in words:
        if word.partition("=")[0] in _OURS:
            raise SpecError(
                f"{word.partition('=')[0]} is not for the gate's pytest", remedy="name kernels, or --results, before --"
            )
    return tuple(words)


def run(asked: Asked, known: Baseline, merged: Sequence[Matrix] | None = None) -> int:
    """Judge the kernels, or those of ``merged`` that were judged before; returns the status.

    Raises InfraError where the results cannot be written, OSError where that fails later.
    """
    by_name = {entry.name: lists.load(entry.name) for entry in asked.entries}
    # Nothing is run for a merge, nor resumed: what a run depends on need not be here.
    key = asked.digest if merged is None else ""
    with work(asked.results, "gate", key, fresh=asked.fresh or merged is not None) as place:
        interrupted = False
        if merged is None:
            judged, interrupted = _judged(asked, by_name, place)
        else:
            judged = record.merge(merged, list(by_name), whole=asked.whole)
            by_name |= {row.kernel: lists.load(row.kernel) for row in judged.rows}
        page = Page(judged, by_name, known, verdict.judge(judged, by_name, known, asked.accepted))
        record.write(place.folder / record.NAME, judged, page.verdict)
        files.write(place.folder / MATRIX, text.whole(page))
        files.write(place.folder / html.NAME, html.render(page, place.folder))
        ci.report(page)
        sys.stdout.write(f"\nresults: {place.folder}\n{text.terminal(page)}")
        if interrupted:
            raise KeyboardInterrupt
    return int(page.verdict.status)


def _judged(asked: Asked, by_name: dict[str, Lists], place: Work) -> tuple[Matrix, bool]:
    """The matrix as far as it came, and whether somebody interrupted it."""
    matrix = Matrix(
        started=now(),
        command=shlex.join(["scripts/gate", *asked.argv]),
        rows=(),
        whole=asked.whole,
        words=asked.words,
    )
    progress = Progress()
    trials = Trials(pytest_suite(asked.seconds, _show), place.folder, place.log)
    if place.resumed:
        sys.stdout.write(f"gate: resumed, {trials.resumed} runs of the suite are taken over (--fresh starts over)\n")
    gate = Gate(
        get=lambda name: spec.resolve(name, mirror=asked.mirror, progress=progress),
        trials=trials,
        words=(*asked.words, *(("--debian-mirror", asked.mirror) if asked.mirror else ())),
        accepted=asked.accepted,
        repeat=asked.repeat,
    )
    rows: list[Row] = []
    steps = shell.Steps(len(asked.entries))
    try:
        for entry in asked.entries:
            with ci.fold(entry.name):
                rows.append(gate.row(entry, by_name[entry.name]))
            steps.done(f"gate: {entry.name}: {text.of_kernel(rows[-1])}")
    except KeyboardInterrupt:
        left = asked.entries[len(rows) :]
        return replace(matrix, rows=(*rows, *(Row(entry.name, problem="interrupted") for entry in left))), True
    projects = dict.fromkeys(row.run.project for row in rows if row.run and row.run.project)
    return replace(matrix, rows=tuple(rows), ended=now(), project="; ".join(projects)), False


def _show(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
