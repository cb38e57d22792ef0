# SPDX-License-Identifier: GPL-2.0-only
"""What made a build fail, out of a log of thousands of lines: the first error, not the last page."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

#: Lines of context before and after the error's own.
_BEFORE: Final = 6
_AFTER: Final = 8


@dataclass(frozen=True, slots=True)
class FirstError:
    """``line`` says it in one line, ``context`` in a few; ``machine``: it is this machine's fault, not the source's."""

    line: str
    context: str
    machine: bool = False
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class _Kind:
    pattern: re.Pattern[str]
    machine: bool = False
    remedy: str = ""


_SETUP: Final = "scripts/setup --build installs what kernels are built with"
#: The first line that any of these is found in, is the error. One on the same line is told by the order here.
_KINDS: Final = (
    _Kind(
        re.compile(
            r"fatal error: Killed signal terminated|internal compiler error: Killed|^Killed$|signal: killed"
            r"|^make(?:\[\d+\])?: \*\*\* .*\] Killed$"
        ),
        machine=True,
        remedy="the machine is out of memory; close something, or give it swap",
    ),
    _Kind(
        re.compile(r"^ccache: error"), machine=True, remedy="set CCACHE_DIR to a folder of yours, or CCACHE_DISABLE=1"
    ),
    _Kind(
        re.compile(r"fatal error: (?:(?:gelf|libelf|elf|zlib|dwarf)\.h|openssl/\S+): No such file|cannot find -l\S+"),
        machine=True,
        remedy=_SETUP,
    ),
    _Kind(
        re.compile(r"(?:^|/bin/)(?:ba|da)?sh: (?:line )?\d*:? ?\S+: (?:command )?not found"),
        machine=True,
        remedy=_SETUP,
    ),
    _Kind(re.compile(r"\*\*\* .*(?:Compiler|Linker|assembler) is too old", re.IGNORECASE), machine=True),
    _Kind(re.compile(r"^\S+?:\d+(?::\d+)?: (?:fatal )?error:")),
    _Kind(re.compile(r"^\S+?:\d+: Error:")),  # the assembler's
    _Kind(re.compile(r"undefined reference to|multiple definition of")),
    _Kind(re.compile(r"^(?:\S*/)?ld(?:\.\w+)?: (?!warning|.*: warning|.*: in function)")),
    _Kind(re.compile(r"^ERROR: modpost:")),
    _Kind(
        re.compile(r"FAILED:? |(?:^|\s)(?:BTF|pahole|libbpf|resolve_btfids|btf_encoder\S*)\b.*(?:[Ee]rror|fail|ERR)")
    ),
    _Kind(re.compile(r"^(?:\S+: )?[Ee]rror: |^ERROR: ")),
    _Kind(re.compile(r"^\*\*\* (?!Error)")),
    _Kind(re.compile(r"^\S+:\d+: \*\*\* ")),  # make's, of a makefile that it cannot read
    # What Kconfig cannot read, and what depends on itself; with "warning:" it goes on.
    _Kind(re.compile(r"^\S*Kconfig[^\s:]*:\d+: ?(?!\s|warning:)|^Recursive inclusion detected")),
    _Kind(re.compile(r"^make(?:\[\d+\])?: \*\*\* ")),
)
_STARTS_CONTEXT: Final = re.compile(r"In file included from|In function|In member function|from \S+:\d+|: In function")
_ENDS_CONTEXT: Final = re.compile(r"^(?:make(?:\[\d+\])?: |  [A-Z]+ +\S)")


def find(log: str) -> FirstError | None:
    """The first error in what make printed, or None where nothing looks like one.

    A compiler's warning is not one, and a line of make's about a failed target only where no program said more.
    """
    lines = log.splitlines()
    for kinds in (_KINDS[:-1], _KINDS[-1:]):
        for number, line in enumerate(lines):
            kind = next((kind for kind in kinds if kind.pattern.search(line)), None)
            if kind is not None:
                return FirstError(line.strip(), _context(lines, number), kind.machine, kind.remedy)
    return None


def _context(lines: list[str], number: int) -> str:
    start = number
    while start > max(0, number - _BEFORE) and _STARTS_CONTEXT.search(lines[start - 1]):
        start -= 1
    if start == number and not re.search(r"error:", lines[number]):
        start = max(0, number - 2)
    end = number + 1
    while end < min(len(lines), number + _AFTER) and not _ENDS_CONTEXT.match(lines[end]):
        end += 1
    return "\n".join(lines[start:end])
