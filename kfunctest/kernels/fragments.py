# SPDX-License-Identifier: GPL-2.0-only
"""The options that a kernel of ours is built with: ``kernel-config/*.config``, read, put together, and held to.

The head of ``base.config`` tells how such a file is written.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kfunctest.errors import SpecError
from kfunctest.kernels import kconfig, kconfig_why

FOLDER: Final = Path(__file__).resolve().parents[2] / "kernel-config"
#: What every kernel gets, in this order; every other file is a flavour.
ALWAYS: Final = ("base", "bpf", "memcg")

_SET: Final = re.compile(r'(CONFIG_\w+)=(y|-?\d+|0x[0-9a-fA-F]+|"[^"]*")')
_UNSET: Final = re.compile(r"# (CONFIG_\w+) is not set")
_CONDITION: Final = re.compile(r"# (since|before) (\d+)\.(\d+):")
#: A comment that was meant to be one of the above, and would be passed over in silence.
_ALMOST: Final = re.compile(r"#+\s*(CONFIG_|(since|before|until|from|after)\b)", re.IGNORECASE)

Release = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Wanted:
    """One line of a fragment: ``CONFIG_...``, and its value as .config writes it, or ``n`` for "is not set"."""

    option: str
    value: str
    fragment: Path
    line: int

    @property
    def place(self) -> str:
        """``file:line``, the file as seen from the working directory where it is below it."""
        near = os.path.relpath(self.fragment)
        return f"{self.fragment if near.startswith('..') else near}:{self.line}"

    def __str__(self) -> str:
        return _line(self.option, self.value)


def names(folder: Path = FOLDER) -> tuple[str, ...]:
    """The flavours there are, sorted."""
    return tuple(sorted({path.stem for path in folder.glob("*.config")} - set(ALWAYS)))


def require(flavours: Sequence[str], folder: Path = FOLDER) -> None:
    """Raise SpecError on a flavour that there is not."""
    if unknown := [name for name in flavours if name not in names(folder)]:
        raise SpecError(f"there is no flavour {unknown[0]!r}", remedy=f"take one of {', '.join(names(folder))}")


def load(flavours: Sequence[str], release: Release, folder: Path = FOLDER) -> tuple[Wanted, ...]:
    """What a kernel of ``release`` (7, 2) with these flavours is to have, each option once.

    A flavour overrides what every kernel gets. Raises SpecError on an unknown flavour, two that contradict each other,
    and a line that cannot be read.
    """
    require(flavours, folder)
    wanted: dict[str, Wanted] = {}
    chosen: dict[str, Wanted] = {}
    for name in (*ALWAYS, *dict.fromkeys(flavours)):
        for want in _read(folder / f"{name}.config", release):
            other = chosen.get(want.option)
            if other and other.value != want.value:
                raise SpecError(
                    f"{want.place} wants {want}, and {other.place} wants {other}",
                    remedy=f"build {name} and {other.fragment.stem} as kernels of their own",
                )
            wanted[want.option] = want
            if name not in ALWAYS:
                chosen[want.option] = want
    return tuple(wanted.values())


def text(wanted: Sequence[Wanted]) -> str:
    """The fragments as one, for KCONFIG_ALLCONFIG (Documentation/kbuild/kconfig.rst of the kernel)."""
    return "".join(f"{want}\n" for want in wanted)


def check(wanted: Sequence[Wanted], config_text: str, tree: Path) -> None:
    """Hold the final ``.config`` of the source ``tree`` to what was wanted.

    Raises SpecError that names every option which olddefconfig dropped or changed, or which the tree does not have,
    with its place and the reason that the tree's Kconfig files give. These are read only when something is amiss.
    """
    final = _parse(config_text)
    lost = [want for want in wanted if final.get(want.option, "n") != want.value]
    # What is off and has no line either is not visible, or does not exist: a typo would hide there.
    unseen = [want for want in wanted if want.value == "n" and want.option not in final]
    if not lost and not unseen:
        return
    known = kconfig.read(tree)
    lost += [want for want in unseen if want.option.removeprefix("CONFIG_") not in known.definitions]
    if lost:
        lines = [f"{want.place}: {want}: {kconfig_why.why(known, want.option, want.value, final)}" for want in lost]
        raise SpecError(
            lines[0] if len(lines) == 1 else "\n  ".join([f"the kernel would lack {len(lines)} options", *lines]),
            remedy="mend the fragment, or set there what the option needs",
        )


def _line(option: str, value: str) -> str:
    return f"# {option} is not set" if value == "n" else f"{option}={value}"


def _parse(config_text: str) -> dict[str, str]:
    """Every option that a .config has a line for, with its value as written there; ``n`` for "is not set"."""
    final = {}
    for line in config_text.splitlines():
        if unset := _UNSET.fullmatch(line):
            final[unset[1]] = "n"
        elif line.startswith("CONFIG_"):
            option, _, value = line.partition("=")
            final[option] = value
    return final


def _read(path: Path, release: Release) -> Iterator[Wanted]:
    """The options that ``release`` is to have."""
    seen: dict[str, int] = {}
    conditions: list[re.Match[str]] = []
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{path} cannot be read: {error}") from error
    for number, line in enumerate([*lines, ""], 1):
        if condition := _CONDITION.fullmatch(line):
            conditions.append(condition)
            continue
        option = _SET.fullmatch(line) or _UNSET.fullmatch(line)
        if not option:
            if conditions:
                raise SpecError(f"{path}:{number}: no option stands below {conditions[-1][0]!r}", remedy=_FORMS)
            if _ALMOST.match(line) or (line.strip() and not line.startswith("#")):
                raise SpecError(f"{path}:{number}: {line!r} cannot be read", remedy=_FORMS)
            continue
        want = Wanted(option[1], option[2] if option.re is _SET else "n", path, number)
        applies = all(_applies(condition, release) for condition in conditions)
        conditions = []
        if applies and want.option in seen:
            raise SpecError(f"{path}:{number}: {want.option} stands in line {seen[want.option]} already")
        if applies:
            seen[want.option] = number
            yield want


_FORMS: Final = (
    "write CONFIG_X=y (or a number, or a quoted string), '# CONFIG_X is not set', and directly above such a line "
    "'# since 6.13:' or '# before 7.2:'"
)


def _applies(condition: re.Match[str], release: Release) -> bool:
    bound = (int(condition[2]), int(condition[3]))
    return release >= bound if condition[1] == "since" else release < bound
