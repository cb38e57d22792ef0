# SPDX-License-Identifier: GPL-2.0-only
"""The table of docs/program-types.md: which type of program may call which kfunc."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PAGE: Final = Path(__file__).resolve().parents[1] / "docs" / "program-types.md"
#: What a cell says of a call.
WORDS: Final = {True: "yes", False: "no"}
_COLUMNS: Final = ("program", "section", "type", "needs", "since")


@dataclass(frozen=True, slots=True)
class Row:
    """One way to load a program. ``type`` is the kernel's, less ``BPF_PROG_TYPE_``. ``needs`` is the option that it
    takes, ``since`` the first generation of verifiers that loads it; both may be empty.

    ``may_call`` tells of each kfunc, without the ``bpf_`` and ``mem_cgroup`` of its name, whether it may be called.
    """

    program: str
    section: str
    type: str
    needs: str
    since: str
    may_call: Mapping[str, bool]

    def __str__(self) -> str:
        return self.program


def read(page: Path = PAGE) -> list[Row]:
    """Every row of the page's table. Raises ValueError where a cell says neither yes nor no."""
    header, *rows = _cells(page)
    kfuncs = header[len(_COLUMNS) :]
    found = []
    for program, section, kind, needs, since, *cells in rows:
        if odd := set(cells) - set(WORDS.values()):
            raise ValueError(f"{page}: {program} says {odd} of a kfunc, which is neither yes nor no")
        may_call = {kfunc: cell == WORDS[True] for kfunc, cell in zip(kfuncs, cells, strict=True)}
        found.append(Row(program, section.strip("`"), kind, needs.strip("-"), since.strip("-"), may_call))
    return found


def written(rows: Mapping[str, Mapping[str, str]]) -> str:
    """A table of the same form: ``rows`` has the words of each program by kfunc."""
    header, *_ = _cells(PAGE)
    kfuncs = header[len(_COLUMNS) :]
    lines = [("program", *kfuncs), ("---",) * (len(kfuncs) + 1)]
    lines += [(program, *(words.get(kfunc, "") for kfunc in kfuncs)) for program, words in rows.items()]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cells(page: Path) -> Iterator[list[str]]:
    for line in page.read_text().splitlines():
        if line.startswith("|") and not line.startswith("|---"):
            yield [cell.strip() for cell in line.strip("|").split("|")]
