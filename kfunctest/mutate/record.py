# SPDX-License-Identifier: GPL-2.0-only
"""The matrix on disk: one line of JSON for each mutant as soon as its fate is known, so that a killed run goes on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from kfunctest import cache
from kfunctest.mutate.catalogue import Mutant
from kfunctest.mutate.fate import Fate, Row

NAME: Final = "mutants.jsonl"
TEXT: Final = "mutants.txt"
#: Fates that tell nothing, and are sought anew.
_UNKNOWN: Final = (Fate.INFRA, Fate.NOT_BUILT)


def read(file: Path) -> dict[str, Row]:
    """The last row of each mutant. A line that a killed run left torn is passed over."""
    rows: dict[str, Row] = {}
    for line in file.read_text().splitlines() if file.exists() else ():
        try:
            data = json.loads(line)
            row = Row(**{**data, "fate": Fate(data["fate"])})
        except (ValueError, KeyError, TypeError):
            continue
        rows[row.id] = row
    return rows


def append(file: Path, row: Row) -> None:
    """Add a row, in one write. Raises OSError."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("ab", buffering=0) as out:
        out.write(json.dumps(asdict(row)).encode() + b"\n")


def known(rows: Mapping[str, Row], mutant: Mutant, suite: str) -> Row | None:
    """The verdict of an earlier run, where it is still true.

    A killed mutant stays so while the change and the tests that it is held to are the same: of the suite, its killer
    alone mattered. All others are judged again by a suite that is another one.
    """
    row = rows.get(mutant.id)
    if row is None or row.key != mutant.key or row.fate in _UNKNOWN:
        return None
    return row if row.fate is Fate.KILLED or row.suite == suite else None


def suite_digest(checkout: Path) -> str:
    """What tells two states of the suite apart: its tests, its programs, and what they stand on."""
    places = [checkout / "conftest.py", *_files(checkout / "selftests"), *_files(checkout / "kfunctest")]
    return cache.digest(*(part for path in places for part in (str(path.relative_to(checkout)), path.read_bytes())))


def table(rows: Sequence[Row]) -> str:
    """The matrix as text, and how many there are of each fate."""
    width = max((len(row.id) for row in rows), default=0)
    lines = [f"{row.id:{width}}  {row.kind:12}  {row.fate:10}  {_said(row)}".rstrip() for row in rows]
    return "\n".join([*lines, summary(rows)]) + "\n"


def summary(rows: Sequence[Row]) -> str:
    """One line: how many of each fate, and by what the killed ones were known."""
    counts = [f"{count} {fate}" for fate in Fate if (count := sum(row.fate is fate for row in rows))]
    ways = sorted({row.how for row in rows if row.how})
    by = ", ".join(f"{sum(row.how == way for row in rows)} by {way}" for way in ways)
    return f"{len(rows)} mutants: {', '.join(counts) or 'none judged'}{f' ({by})' if by else ''}"


def _said(row: Row) -> str:
    if row.fate is Fate.KILLED:
        return f"by {row.how} in {row.test}: {row.message}"
    if row.elsewhere:
        return f"{row.message}; but see {row.elsewhere}".removeprefix("; ")
    return row.message


def _files(folder: Path) -> Iterable[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix in (".py", ".c", ".h"))
