# SPDX-License-Identifier: GPL-2.0-only
"""What was measured, as it is kept: every run of every side, so that whatever is said of it can be said anew."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from kfunctest import files
from kfunctest.bench.kfunc.time_source import CLOCKS, TIME, Clock
from kfunctest.errors import InfraError, SpecError

FORMAT: Final = 1

#: The sides of the comparison, by the name that the record gives them.
CONTROL, BY_HAND, RAW = "control", "by hand", "raw"
KFUNCS, PATCHS = "kfuncs", "kfuncs, patch's list"
PYTHON_FILE, PYTHON_KFUNCS = "Python, file", "Python, kfuncs"
#: The parts that a pass of the kfuncs is split into: programs that do one thing more each.
NOTHING, GET, FLUSH, EVERYTHING = "nothing", "get and put", "flush", "everything"
#: How a tree is read.
FILES, ITERATOR = "files", "iterator"


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one side: how many passes, and the seconds they took together.

    ``program`` is what the BPF program itself took by the kernel's own statistics, or None where they were off.
    """

    passes: int
    real: float
    user: float
    system: float
    program: float | None = None

    @property
    def each(self) -> float:
        """Seconds a pass."""
        return self.real / self.passes


Runs = dict[str, list[Run]]


@dataclass
class Figures:
    """All runs so far, in rounds: the runs at one place of two sides' lists were made one after the other."""

    #: What was measured, on what and how: strings and numbers, for the report.
    about: dict[str, str | int | None]
    sides: Runs = field(default_factory=dict)
    #: By the number of memcgs.
    trees: dict[int, Runs] = field(default_factory=dict)
    parts: Runs = field(default_factory=dict)
    #: What was compared and found equal, a line each; and where the two sides disagree.
    equal: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    #: False while something that was asked for is missing.
    whole: bool = False

    def save(self, path: Path) -> None:
        """Write the record. Raises InfraError where that cannot be."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            files.write(path, json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n")
        except OSError as error:
            raise InfraError(f"{path} cannot be written ({error.strerror})", remedy="name another folder") from error


def clock_of(figures: Figures) -> Clock:
    """What the figures were measured by."""
    return CLOCKS[str(figures.about.get("clock", TIME.name))]


def load(path: Path) -> Figures:
    """Read a record. Raises SpecError where there is none."""
    try:
        found = json.loads(path.read_text())
        if found.pop("format") != FORMAT:
            raise SpecError(f"{path} is of another version of scripts/bench", remedy="measure it again")
        trees = {int(count): _runs(runs) for count, runs in found.pop("trees").items()}
        return Figures(sides=_runs(found.pop("sides")), parts=_runs(found.pop("parts")), trees=trees, **found)
    except OSError as error:
        raise SpecError(
            f"{path} cannot be read ({error.strerror})", remedy="make it with scripts/bench kfunc"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise SpecError(f"{path} is no record of scripts/bench kfunc", remedy="make it anew") from None


def _runs(kept: Mapping[str, list[dict[str, float]]]) -> Runs:
    return {side: [Run(**run) for run in runs] for side, runs in kept.items()}  # type: ignore[arg-type]
