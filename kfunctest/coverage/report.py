# SPDX-License-Identifier: GPL-2.0-only
"""From what kernels counted to what the suite reaches, line by line and branch by branch; gcovr does the counting."""

from __future__ import annotations

import json
import shutil
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kfunctest import proc
from kfunctest.errors import InfraError, SpecError

#: All of this file is to be covered.
WHOLE: Final = "mm/bpf_memcontrol.c"
#: Of this one, what the kfuncs rest on: what they call, and what fills the counters that they read.
BELOW: Final = "mm/memcontrol.c"
FUNCTIONS: Final = (
    *("memcg_vm_event_item_valid", "memcg_events", "memcg_events_index", "init_memcg_events"),
    *("memcg_stat_item_valid", "memcg_page_state", "memcg_stats_index", "init_memcg_stats"),
    *("memcg_page_state_output", "memcg_page_state_output_unit", "memcg_page_state_unit"),
    *("mem_cgroup_flush_stats", "__mem_cgroup_flush_stats", "memcg_vmstats_needs_flush"),
    *("mem_cgroup_css_rstat_flush", "mem_cgroup_stat_aggregate", "memcg_rstat_updated", "memcg_state_val_in_pages"),
    *("mod_memcg_state", "__mod_memcg_state", "mod_memcg_lruvec_state", "__mod_memcg_lruvec_state"),
    *("mod_lruvec_state", "count_memcg_events", "__memcg_memory_event"),
)
EXCUSES: Final = Path(__file__).resolve().parents[2] / "kernel-config" / "coverage" / "unreached.toml"
HTML: Final = "coverage.html"
_SECONDS: Final = 600.0


@dataclass(frozen=True, slots=True)
class Line:
    """One line of code that can run: how often it did, and its branches; ``text`` is what stands there."""

    file: str
    number: int
    function: str
    text: str
    count: int
    branches: tuple[int, ...]

    @property
    def missing(self) -> str:
        """What of it was never seen to run, in words; empty where nothing is missing."""
        if not self.count:
            return "never run"
        taken = sum(1 for count in self.branches if count)
        return f"{taken} of {len(self.branches)} branches taken" if taken < len(self.branches) else ""


@dataclass(frozen=True, slots=True)
class Excuse:
    """Why a line, or a branch of it, cannot be reached: known by its function and a part of its text."""

    function: str
    text: str
    why: str

    def covers(self, line: Line) -> bool:
        """Whether it is about this line."""
        return self.function == line.function and self.text in line.text


def excuses(file: Path = EXCUSES) -> tuple[Excuse, ...]:
    """Those of the file. Raises SpecError that names the entry that is not whole."""
    try:
        entries = tomllib.loads(file.read_text()).get("unreached", [])
        return tuple(Excuse(**{key: str(value) for key, value in entry.items()}) for entry in entries)
    except (OSError, tomllib.TOMLDecodeError, AttributeError) as error:
        raise SpecError(f"{file} cannot be read: {error}") from error
    except TypeError as error:
        raise SpecError(f"{file}: {error}", remedy="each [[unreached]] has function, text and why") from error


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
        text = (sources / name).read_text().splitlines()
        for line in file["lines"]:
            function = str(line.get("function_name", ""))
            if line.get("gcovr/noncode") or (name == BELOW and function not in FUNCTIONS):
                continue
            branches = tuple(int(branch["count"]) for branch in line["branches"])
            number = int(line["line_number"])
            lines.append(Line(name, number, function, text[number - 1].strip(), int(line["count"]), branches))
    return lines


def unexcused(lines: Sequence[Line], known: Sequence[Excuse]) -> list[Line]:
    """What is missing in the kfuncs' own file, and nobody has given a reason for."""
    return [one for one in lines if one.file == WHOLE and one.missing and not any(why.covers(one) for why in known)]


def table(lines: Sequence[Line], known: Sequence[Excuse]) -> str:
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
        why = next((excuse.why for excuse in known if excuse.covers(line)), "")
        text.append(f"{line.file}:{line.number}: {line.missing}: {line.text}{f' ({why})' if why else ''}")
    return "\n".join(text) + "\n"


def _lines(lines: Sequence[Line]) -> str:
    return f"{sum(1 for line in lines if line.count)} of {len(lines)}"


def _branches(lines: Sequence[Line]) -> str:
    counts = [count for line in lines for count in line.branches]
    return f"{sum(1 for count in counts if count)} of {len(counts)}"
