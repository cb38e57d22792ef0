# SPDX-License-Identifier: GPL-2.0-only
"""gate.json: a matrix as one file. It is what ``--baseline`` and ``--merge`` read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from kfunctest import files, results
from kfunctest.errors import SpecError
from kfunctest.gate.matrix import Matrix, Row
from kfunctest.gate.verdict import Finding, Verdict
from kfunctest.results import Run

NAME: Final = "gate.json"
#: Raised with every change that an older reader would misunderstand.
FORMAT: Final = 1


def write(file: Path, matrix: Matrix, verdict: Verdict) -> None:
    """Write what was found and what came of it. Logs and tracebacks stay with the runs. Raises OSError."""
    rows = [asdict(replace(row, run=_short(row.run), repeats=tuple(map(_brief, row.repeats)))) for row in matrix.rows]
    found = {
        "status": int(verdict.status),
        **{name: _findings(getattr(verdict, name)) for name in ("bad", "unjudged", "known", "notes")},
    }
    data = {"format": FORMAT, "matrix": {**asdict(replace(matrix, rows=())), "rows": rows}, "verdict": found}
    files.write(file, json.dumps(data, indent=1) + "\n")


def read(file: Path) -> Matrix:
    """The matrix in ``file``. Raises SpecError where it is none, or not whole."""
    remedy = f"give it the {NAME} of an earlier scripts/gate"
    try:
        data: Any = json.loads(file.read_bytes())
        if data["format"] != FORMAT:
            raise SpecError(f"{file} is of another format", remedy=remedy)
        content = data["matrix"]
        rows = tuple(_row(row) for row in content["rows"])
        return Matrix(**{**content, "rows": rows, "words": tuple(content["words"])})
    except OSError as error:
        raise SpecError(f"{file} cannot be read ({error.strerror})", remedy=remedy) from error
    except (ValueError, KeyError, TypeError) as error:
        raise SpecError(f"{file} is no gate's record ({type(error).__name__}: {error})", remedy=remedy) from error


def read_all(paths: Iterable[Path]) -> list[Matrix]:
    """The matrices in these files and below these folders, each once. Raises what :func:`read` raises."""
    found: dict[bytes, Path] = {}
    for path in paths:
        files = sorted(path.rglob(NAME)) if path.is_dir() else [path]
        if not files:
            raise SpecError(
                f"there is no {NAME} below {path}", remedy="unpack there what the jobs' scripts/gate left in results/"
            )
        for file in files:
            # An archive may hold the folder that gate-latest points to a second time.
            found.setdefault(file.read_bytes() if file.exists() else b"", file)
    return [read(file) for file in found.values()]


def merge(matrices: Sequence[Matrix], kernels: Sequence[str], *, whole: bool) -> Matrix:
    """One matrix of several, as CI makes them in jobs of their own; a kernel of ``kernels`` that none has is unjudged.

    Raises SpecError where a kernel comes twice.
    """
    rows: dict[str, Row] = {}
    for row in (row for matrix in matrices for row in matrix.rows):
        if row.kernel in rows:
            raise SpecError(f"the kernel {row.kernel} is in two of the records", remedy="merge each gate's only once")
        rows[row.kernel] = row
    for kernel in kernels:
        rows.setdefault(kernel, Row(kernel, problem="there is no record of it"))
    return Matrix(
        started=min((matrix.started for matrix in matrices), default=""),
        ended=max((matrix.ended for matrix in matrices), default=""),
        command="; ".join(dict.fromkeys(matrix.command for matrix in matrices)),
        project="; ".join(dict.fromkeys(matrix.project for matrix in matrices)),
        rows=tuple(rows.values()),
        whole=whole,
        words=tuple(dict.fromkeys(word for matrix in matrices for word in matrix.words)),
    )


def _row(data: dict[str, Any]) -> Row:
    run = results.from_data(data["run"]) if data["run"] else None
    return Row(
        **{**data, "run": run, "repeats": tuple(map(results.from_data, data["repeats"])), "lost": tuple(data["lost"])}
    )


def _short(run: Run | None) -> Run | None:
    return _brief(run) if run else None


def _brief(run: Run) -> Run:
    return replace(run, results=tuple(replace(result, details="", log="", verifier="") for result in run.results))


def _findings(found: Iterable[Finding]) -> list[dict[str, str]]:
    return [asdict(finding) for finding in found]
