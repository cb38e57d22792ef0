# SPDX-License-Identifier: GPL-2.0-only
"""The matrix on disk: one line of JSON for each mutant as soon as its fate is known, so that a killed run goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from kfunctest.mutate.catalogue import Mutant
from kfunctest.mutate.fate import Fate, Row
from kfunctest.trial.log import Log

NAME: Final = "mutants.jsonl"
TEXT: Final = "mutants.txt"
#: Fates that tell nothing, and are sought anew.
_UNKNOWN: Final = (Fate.INFRA, Fate.NOT_BUILT)


def read(log: Log) -> dict[str, Row]:
    """The last row of each mutant."""
    rows: dict[str, Row] = {}
    for entry in log.entries:
        try:
            row = Row(**{**entry, "fate": Fate(entry["fate"])})
        except (ValueError, KeyError, TypeError):  # of another version of ours
            continue
        rows[row.id] = row
    return rows


def known(rows: Mapping[str, Row], mutant: Mutant, suite: str) -> Row | None:
    """The verdict of an earlier run, where it is still true.

    A killed mutant stays so while the change and the tests that it is held to are the same: of the suite, its killer
    alone mattered. All others are judged again by a suite that is another one.
    """
    row = rows.get(mutant.id)
    if row is None or row.key != mutant.key or row.fate in _UNKNOWN:
        return None
    return row if row.fate is Fate.KILLED or row.suite == suite else None


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
