# SPDX-License-Identifier: GPL-2.0-only
"""Why a kernel's configuration lacks an option: a reader of Kconfig files, for diagnosis only.

It knows what an option needs (``depends on``, and every if, menu and choice around it), who selects it and whether it
can be chosen; it decides no values. kconfiglib (14.1.0, the last release) would do the rest as well, but stops at the
``modules`` keyword of 6.12 and at ``transitional`` of 7.2.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from kfunctest.errors import SpecError
from kfunctest.kernels import kconfig_expr
from kfunctest.kernels.kconfig_expr import Expr

_SRCARCH: Final = "x86"
_TYPES: Final = ("bool", "tristate", "int", "hex", "string", "prompt")
_WORDS: Final = re.compile(r"\s*([\w]+)\s*(.*)")
_IF: Final = re.compile(r"""\bif\b(?=(?:[^"']|"[^"]*"|'[^']*')*$)""")
_COMMENT: Final = re.compile(r"""(?:^|\s)#(?=(?:[^"']|"[^"]*"|'[^']*')*$).*""")


@dataclass(frozen=True, slots=True)
class Condition:
    """What something needs, and ``file:line`` where the tree says so."""

    expr: Expr
    place: str


@dataclass(slots=True)
class Definition:
    """One ``config`` entry: an option may have several. ``prompts`` holds what each of its prompts needs to be seen."""

    name: str
    place: str
    needs: list[Condition]
    choice: str | None
    prompts: list[Condition] = field(default_factory=list)
    ranges: list[str] = field(default_factory=list)
    defaults: list[str] = field(default_factory=list)
    transitional: bool = False


@dataclass(frozen=True, slots=True)
class Select:
    """``by`` selects something when ``condition`` holds."""

    by: str
    condition: Condition


@dataclass(frozen=True, slots=True)
class Known:
    """The options of a source tree, by their names without ``CONFIG_``."""

    definitions: dict[str, list[Definition]]
    selects: dict[str, list[Select]]
    choices: dict[str, list[str]]


def read(tree: Path) -> Known:
    """Every option that the source ``tree`` has for x86. Raises SpecError when it is no kernel tree."""
    if not (tree / "Kconfig").is_file():
        raise SpecError(f"{tree} is no kernel source tree: it has no Kconfig")
    known = Known({}, {}, {})
    _Reader(tree, known).file("Kconfig", [])
    return known


class _Reader:
    """Walks the files in the order in which they source each other, with what encloses each line."""

    def __init__(self, tree: Path, known: Known) -> None:
        self.tree = tree
        self.known = known
        self.current: Definition | None = None
        self.choice: str | None = None

    def file(self, name: str, around: list[list[Condition]]) -> None:
        """Read one file inside the blocks ``around``; one that the tree lacks is passed over."""
        path = self.tree / name
        if not path.is_file():
            return
        blocks = list(around)
        for number, line in _lines(path.read_text(errors="replace")):
            words = _WORDS.match(line)
            if words:
                self._entry(words[1], words[2].strip(), f"{name}:{number}", blocks)

    def _entry(self, keyword: str, rest: str, place: str, blocks: list[list[Condition]]) -> None:
        if keyword in ("config", "menuconfig"):
            self._begin(rest, place, blocks)
        elif keyword in ("source", "rsource", "osource", "orsource"):
            self.current = None
            self.file(rest.strip("\"'").replace("$(SRCARCH)", _SRCARCH), blocks)
        elif keyword in ("if", "menu", "choice"):
            self.current = None
            blocks.append([Condition(_parse(rest), place)] if keyword == "if" else [])
            if keyword == "choice":
                self.choice = place
                self.known.choices[place] = []
        elif keyword in ("endif", "endmenu", "endchoice"):
            self.current = None
            blocks.pop()
            if keyword == "endchoice":
                self.choice = None
        elif keyword == "comment":
            # Its own `depends on` is nobody's; a throw-away entry takes it.
            self.current = Definition("", place, [], None)
        else:
            self._property(keyword, rest, place, blocks)

    def _begin(self, name: str, place: str, blocks: list[list[Condition]]) -> None:
        self.current = Definition(name, place, [], self.choice)
        # The blocks' lists are shared: a menu's `depends on` may follow the menu's first line only, before any entry.
        self.current.needs += [condition for block in blocks for condition in block]
        self.known.definitions.setdefault(name, []).append(self.current)
        if self.choice:
            self.known.choices[self.choice].append(name)

    def _property(self, keyword: str, rest: str, place: str, blocks: list[list[Condition]]) -> None:
        entry = self.current
        if keyword == "depends":
            condition = Condition(_parse(rest.removeprefix("on")), place)
            (entry.needs if entry else blocks[-1] if blocks else []).append(condition)
        elif entry is None:
            return
        elif keyword in _TYPES:
            if rest:
                entry.prompts.append(Condition(_condition(rest), place))
        elif keyword in ("select", "imply"):
            if keyword == "select":
                select = Select(entry.name, Condition(_condition(rest), place))
                self.known.selects.setdefault(rest.split()[0], []).append(select)
        elif keyword == "range":
            entry.ranges.append(f"{rest} ({place})")
        elif keyword in ("default", "def_bool", "def_tristate"):
            entry.defaults.append(rest)
        elif keyword == "transitional":
            entry.transitional = True


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines that say something, with their numbers: joined where continued, without help texts and comments."""
    help_indent: int | None = None
    in_help = False
    pending, start = "", 0
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.expandtabs(8)
        indent = len(line) - len(line.lstrip())
        if in_help:
            if not line.strip():
                continue
            if help_indent is None:
                help_indent = indent
            if indent >= help_indent and indent > 0:
                continue
            in_help = False
        start = start if pending else number
        pending += line
        if pending.endswith("\\"):
            pending = pending[:-1] + " "
            continue
        whole, pending = pending, ""
        if whole.strip() in ("help", "---help---"):
            in_help, help_indent = True, None
        elif whole := _COMMENT.sub("", whole).rstrip():
            yield start, whole


def _condition(rest: str) -> Expr:
    """What stands behind the last ``if`` outside quotes; always, without one."""
    found = list(_IF.finditer(rest))
    return _parse(rest[found[-1].end() :]) if found else Expr("", "y")


def _parse(text: str) -> Expr:
    try:
        return kconfig_expr.parse(text)
    except ValueError:
        return Expr("", f"$({text.strip()})")  # a construct of a later kernel: it blames nobody
