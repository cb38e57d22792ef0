# SPDX-License-Identifier: GPL-2.0-only
"""``kernel-config/mutations/``: what is wrong with which kernel, and which tests must say so."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kfunctest import cache
from kfunctest.errors import SpecError

FOLDER: Final = Path(__file__).resolve().parents[2] / "kernel-config" / "mutations"
NAME: Final = "mutations.toml"
#: What kinds of thing go wrong; the head of mutations.toml explains them.
CLASSES: Final = (
    *("value", "unit", "target", "bound", "flag", "registration", "validity", "output-unit"),
    *("aggregation", "threshold", "per-cpu", "reference", "verifier", "kernel"),
)
_KEYS: Final[Mapping[str, type]] = {"class": str, "breaks": str, "expected": list, "equivalent": str}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One kernel that is wrong. ``expected`` are node ids: of a test, or with parameters of one of its cases."""

    id: str
    kind: str
    breaks: str
    patch: Path
    expected: tuple[str, ...] = ()
    #: Why nothing that is promised differs; empty where something does.
    equivalent: str = ""

    def expects(self, test: str) -> bool:
        """Whether a failure of ``test``, a node id, is one for the right concern."""
        return any(test == name or test.startswith(f"{name}[") for name in self.expected)

    @property
    def key(self) -> str:
        """Tells whether an earlier verdict was about the same change, held to the same tests."""
        return cache.digest(self.patch.read_bytes(), *self.expected, self.equivalent)


def load(folder: Path = FOLDER) -> Mapping[str, Mutant]:
    """The mutants, in the order of the file. Raises SpecError that names the entry and what is wrong with it."""
    file = folder / NAME
    try:
        content = tomllib.loads(file.read_text())
    except OSError as error:
        raise SpecError(f"{file} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError(f"{file} is no TOML: {error}") from error
    found = {name: _mutant(folder, name, table) for name, table in content.items()}
    if strays := sorted({path.stem for path in folder.glob("*.patch")} - set(found)):
        raise SpecError(f"{file} says nothing of {strays[0]}.patch", remedy=f"write [{strays[0]}], or remove the patch")
    return found


def choose(mutants: Mapping[str, Mutant], names: Sequence[str]) -> list[Mutant]:
    """Those of these names, or of these classes; all where none is given. Raises SpecError on an unknown one."""
    chosen: dict[str, Mutant] = {}
    for name in names or CLASSES:
        of_class = [mutant for mutant in mutants.values() if mutant.kind == name]
        if name not in mutants and not of_class and name not in CLASSES:
            raise SpecError(
                f"there is no mutant {name!r}",
                remedy=f"scripts/mutate --list shows them; the classes are {', '.join(CLASSES)}",
            )
        for mutant in [mutants[name]] if name in mutants else of_class:
            chosen[mutant.id] = mutant
    return list(chosen.values())


def sample(mutants: Sequence[Mutant], commit: str, count: int) -> list[Mutant]:
    """``count`` of them, other ones for each commit, of as many classes as can be.

    Each commit shuffles all by digest, so that in the long run all get their turn. Equivalent ones are left out.
    """
    turn = sorted((one for one in mutants if not one.equivalent), key=lambda one: cache.digest(commit, one.id))
    rank: dict[str, int] = {}
    seen: dict[str, int] = {}
    for mutant in turn:
        rank[mutant.id] = seen[mutant.kind] = seen.get(mutant.kind, 0) + 1
    return sorted(turn, key=lambda one: rank[one.id])[:count]


def _mutant(folder: Path, name: str, table: object) -> Mutant:
    where = f"{folder / NAME}: [{name}]"
    if not isinstance(table, dict):
        raise SpecError(f"{where} is no table", remedy=f"write [{name}] on a line of its own")
    for key, value in table.items():
        if key not in _KEYS:
            raise SpecError(f"{where} has an unknown key {key!r}", remedy=f"the keys are {', '.join(_KEYS)}")
        texts = value if isinstance(value, list) else []
        if not isinstance(value, _KEYS[key]) or not all(isinstance(text, str) for text in texts) or not value:
            raise SpecError(f"{where} {key} = {value!r} is not what it must be", remedy=f"see the head of {NAME}")
    if table.get("class") not in CLASSES:
        raise SpecError(f"{where} has no class that we know", remedy=f"the classes are {', '.join(CLASSES)}")
    if "breaks" not in table or ("expected" in table) == ("equivalent" in table):
        raise SpecError(f"{where} needs breaks, and either expected or equivalent")
    patch = folder / f"{name}.patch"
    if not patch.is_file():
        raise SpecError(f"{where} has no {patch.name} beside it")
    return Mutant(
        id=name,
        kind=table["class"],
        breaks=table["breaks"],
        patch=patch,
        expected=tuple(table.get("expected", ())),
        equivalent=table.get("equivalent", "").strip(),
    )
