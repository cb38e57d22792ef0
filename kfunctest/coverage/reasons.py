# SPDX-License-Identifier: GPL-2.0-only
"""Why some of the code cannot be reached by any test, as data; and whether that is the truth."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kfunctest.coverage.lines import WHOLE, Line
from kfunctest.errors import SpecError

FILE: Final = Path(__file__).resolve().parents[2] / "kernel-config" / "coverage" / "unreached.toml"
#: The keys of an entry, with their types; all but the last are needed.
_KEYS: Final = {"function": str, "text": str, "why": str, "branches": int}


@dataclass(frozen=True, slots=True)
class Reason:
    """Why the one line of ``function`` that has ``text`` in it is never run, or ``branches`` of it are never taken."""

    function: str
    text: str
    why: str
    #: 0: the line is never run.
    branches: int = 0

    def about(self, line: Line) -> bool:
        """Whether this is its line."""
        return self.function == line.function and self.text in line.text

    def explains(self, line: Line) -> bool:
        """Whether what the line misses is what is said here, no more and no less."""
        if not self.about(line):
            return False
        return line.count > 0 and line.untaken == self.branches if self.branches else not line.count


def read(file: Path = FILE) -> tuple[Reason, ...]:
    """Those of the file. Raises SpecError that names the entry that is not whole."""
    try:
        entries = tomllib.loads(file.read_text()).get("unreached", [])
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise SpecError(f"{file} cannot be read: {error}") from error
    if not isinstance(entries, list):
        raise SpecError(f"{file}: unreached is no list of tables", remedy="write [[unreached]]")
    return tuple(_reason(file, number, entry) for number, entry in enumerate(entries, 1))


def _reason(file: Path, number: int, entry: object) -> Reason:
    if not isinstance(entry, dict) or not {*_KEYS} - {"branches"} <= entry.keys() <= _KEYS.keys():
        raise SpecError(f"{file}: entry {number} needs function, text and why, and may have branches, no more")
    for key, value in entry.items():
        if type(value) is not _KEYS[key] or not value or (isinstance(value, int) and value < 0):
            raise SpecError(f"{file}: entry {number}: {key} is {value!r}")
    return Reason(**entry)


def wrong(lines: Sequence[Line], known: Sequence[Reason]) -> Iterator[str]:
    """What is missing without a reason, then the reasons that are not true, a line of text each.

    The kfuncs' own file is held to its branches, too. Those of the file below are mostly the many ways of the kernel's
    macros for per-CPU counters, and other ones with each compiler.
    """
    for line in lines:
        held = line.missing and (line.file == WHOLE or not line.count)
        if held and not any(reason.explains(line) for reason in known):
            yield f"{line.file}:{line.number}: {line.missing}, and nothing says why: {line.text}"
    for reason in known:
        if said := _untrue(reason, [line for line in lines if reason.about(line)]):
            yield f"{FILE.name}: {reason.text!r} in {reason.function}(): {said}"


def _untrue(reason: Reason, found: Sequence[Line]) -> str:
    if len(found) != 1:
        return f"{len(found)} lines that count are like this, expected one"
    if reason.explains(found[0]):
        return ""
    if not found[0].missing:
        return "it is reached after all"
    expected = f"{reason.branches} branches are not taken" if reason.branches else "it never runs"
    return f"expected that {expected}, seen: {found[0].missing}"
