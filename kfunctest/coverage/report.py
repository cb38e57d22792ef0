# SPDX-License-Identifier: GPL-2.0-only
"""From what kernels counted to what the suite reaches, line by line and branch by branch; gcovr does the counting."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from kfunctest import proc
from kfunctest.coverage.lines import BELOW, FUNCTIONS, WHOLE, Line, functions
from kfunctest.coverage.reasons import Reason
from kfunctest.errors import InfraError

HTML: Final = "coverage.html"
_SECONDS: Final = 600.0


def gather(notes: Path, boots: Path, folder: Path) -> Sequence[Line]:
    """The lines that count, over all boots, from the kernel's notes (``*.gcno``, with sources) and its counters.

    Leaves in ``folder`` what gcovr needs, and its page HTML. Raises InfraError where there is nothing to count, or
    gcovr fails.
    """
    if not notes.is_dir():
        raise InfraError(f"{notes.parent} is no kernel that counts", remedy="build one: scripts/coverage does")
    counted = sorted(boots.glob("*/*.gcda"))
    if not counted:
        raise InfraError(f"no boot left any counters in {boots}", remedy="look into the run's output there")
    shutil.copytree(notes, folder, dirs_exist_ok=True)
    of_object = {note.stem: note for note in sorted(notes.rglob("*.gcno"))}
    for data in counted:
        place = folder / "boots" / data.parent.name
        place.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(data, place / data.name)
        shutil.copyfile(of_object[data.stem], place / f"{data.stem}.gcno")
    gcovr = Path(sys.executable).with_name("gcovr")
    argv = [gcovr if gcovr.exists() else proc.need("gcovr"), "--root", ".", "boots", "--filter", "mm/.*memcontrol\\.c"]
    # The kernel's headers are not kept, and what it calls __f() is nothing internal to the compiler.
    argv += ["--gcov-ignore-errors", "source_not_found", "--include-internal-functions"]
    argv += ["--merge-mode-functions", "merge-use-line-0", "--json", "gcovr.json", "--html-details", HTML]
    proc.run([*argv, "--html-title", "memcg BPF kfuncs"], seconds=_SECONDS, cwd=folder)
    return read(json.loads((folder / "gcovr.json").read_text()), folder)


def read(found: Mapping[str, Any], sources: Path) -> list[Line]:
    """The lines of a report of gcovr's (its format 0.14 and newer) that are our concern."""
    lines = []
    for file in found["files"]:
        name = file["file"]
        if name not in (WHOLE, BELOW):
            continue
        source = (sources / name).read_text()
        text, inside = source.splitlines(), functions(source)
        for line in file["lines"]:
            number = int(line["line_number"])
            function = inside.get(number, "")
            if line.get("gcovr/noncode") or (name == BELOW and function not in FUNCTIONS):
                continue
            branches = tuple(int(branch["count"]) for branch in line["branches"])
            lines.append(Line(name, number, function, text[number - 1].strip(), int(line["count"]), branches))
    return lines


def table(lines: Sequence[Line], known: Sequence[Reason]) -> str:
    """A line for each function, then what is missing, with the reason where there is one."""
    rows: dict[tuple[str, str], list[Line]] = {}
    for line in lines:
        rows.setdefault((line.file, line.function), []).append(line)
    text = [f"{'function':36} {'lines':>11} {'branches':>11}"]
    for (file, function), of_function in sorted(rows.items()):
        text.append(f"{function:36} {_lines(of_function):>11} {_branches(of_function):>11}  {file}")
    for file in (WHOLE, BELOW):
        of_file = [line for line in lines if line.file == file]
        text.append(f"{'all that counts of ' + file:36} {_lines(of_file):>11} {_branches(of_file):>11}")
    for line in (line for line in lines if line.missing):
        why = next((reason.why for reason in known if reason.explains(line)), "")
        text.append(f"{line.file}:{line.number}: {line.missing}: {line.text}{f' ({why})' if why else ''}")
    return "\n".join(text) + "\n"


def _lines(lines: Sequence[Line]) -> str:
    return f"{sum(1 for line in lines if line.count)} of {len(lines)}"


def _branches(lines: Sequence[Line]) -> str:
    counts = [count for line in lines for count in line.branches]
    return f"{sum(1 for count in counts if count)} of {len(counts)}"
