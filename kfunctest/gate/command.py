# SPDX-License-Identifier: GPL-2.0-only
"""What scripts/gate does: kernel by kernel, then the files and the verdict."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from kfunctest.errors import InfraError, SpecError
from kfunctest.gate import ci, html, lists, record, text, verdict
from kfunctest.gate.baseline import Baseline
from kfunctest.gate.lists import Lists
from kfunctest.gate.matrix import Matrix, Row
from kfunctest.gate.run import Gate
from kfunctest.gate.suite import CHECKOUT, pytest_suite
from kfunctest.gate.text import Page
from kfunctest.kernels import spec
from kfunctest.kernels.named import Named
from kfunctest.kernels.progress import Progress
from kfunctest.results import now

RESULTS: Final = CHECKOUT / "results"
MATRIX: Final = "matrix.txt"
#: Gates that are kept below results/, this one among them.
KEPT: Final = 5
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
    folder = _folder(asked.results)
    interrupted = False
    if merged is None:
        judged, interrupted = _judged(asked, by_name, folder)
    else:
        judged = record.merge(merged, list(by_name), whole=asked.whole)
        by_name |= {row.kernel: lists.load(row.kernel) for row in judged.rows}
    page = Page(judged, by_name, known, verdict.judge(judged, by_name, known, asked.accepted))
    record.write(folder / record.NAME, judged, page.verdict)
    (folder / MATRIX).write_text(text.whole(page), errors="backslashreplace")
    (folder / html.NAME).write_text(html.render(page, folder))
    ci.report(page)
    sys.stdout.write(f"\nresults: {folder}\n{text.terminal(page)}")
    if interrupted:
        raise KeyboardInterrupt
    return int(page.verdict.status)


def _judged(asked: Asked, by_name: dict[str, Lists], folder: Path) -> tuple[Matrix, bool]:
    """The matrix as far as it came, and whether somebody interrupted it."""
    matrix = Matrix(
        started=now(),
        command=shlex.join(["scripts/gate", *asked.argv]),
        rows=(),
        whole=asked.whole,
        words=asked.words,
    )
    progress = Progress()
    gate = Gate(
        folder,
        get=lambda name: spec.resolve(name, mirror=asked.mirror, progress=progress),
        suite=pytest_suite(asked.seconds, _show),
        words=(*asked.words, *(("--debian-mirror", asked.mirror) if asked.mirror else ())),
        accepted=asked.accepted,
        repeat=asked.repeat,
    )
    rows: list[Row] = []
    try:
        for entry in asked.entries:
            with ci.fold(entry.name):
                rows.append(gate.row(entry, by_name[entry.name]))
            sys.stdout.write(f"gate: {entry.name}: {text.of_kernel(rows[-1])}\n")
            sys.stdout.flush()
    except KeyboardInterrupt:
        left = asked.entries[len(rows) :]
        return replace(matrix, rows=(*rows, *(Row(entry.name, problem="interrupted") for entry in left))), True
    projects = dict.fromkeys(row.run.project for row in rows if row.run and row.run.project)
    return replace(matrix, rows=tuple(rows), ended=now(), project="; ".join(projects)), False


def _show(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _folder(results: Path) -> Path:
    """A new folder for this gate; of those of gates that have ended the last ones are kept."""
    folder = results / f"gate-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        why = "it is no folder" if results.exists() and not results.is_dir() else error.strerror
        raise InfraError(f"{results} cannot be written ({why})", remedy="choose another with --results") from error
    gates = sorted(path for path in results.iterdir() if re.fullmatch(r"gate-\d{8}-\d{6}-\d+", path.name))
    ended = [path for path in gates if path != folder and not Path("/proc", path.name.rpartition("-")[2]).exists()]
    for old in ended[: 1 - KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    latest = results / "gate-latest"
    beside = results / f".{folder.name}"
    beside.symlink_to(folder.name)
    beside.replace(latest)
    return folder
