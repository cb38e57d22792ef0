# SPDX-License-Identifier: GPL-2.0-only
"""DENYLIST and ALLOWLIST in the form of BPF's CI: one ``test`` or ``test/subtest`` a line, ``#`` before its cause.

A test is a file of the suite without its ``.py``, a subtest one of its functions. ``*`` stands for any characters, as
in test_progs (``tools/testing/selftests/bpf/test_progs.c``, ``glob_match``). ``DENYLIST`` is for every kernel,
``DENYLIST.NAME`` for the one of that name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from kfunctest.errors import SpecError

DENY: Final = "DENYLIST"
ALLOW: Final = "ALLOWLIST"
FOLDER: Final = Path(__file__).resolve().parents[2] / "kernel-config"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a list: which tests, why, and where it stands (``DENYLIST:12``)."""

    pattern: str
    cause: str
    where: str

    def covers(self, test: str) -> bool:
        """Whether it means the test with this node id. One without brackets means all parameters of a function."""
        name, subtest = split(test)
        wanted, slash, function = self.pattern.partition("/")
        if not _matches(wanted, name):
            return False
        return not slash or _matches(function, subtest) or _matches(function, subtest.partition("[")[0])


@dataclass(frozen=True, slots=True)
class Lists:
    """What holds for one kernel. Where ``allow`` is empty every test counts."""

    deny: tuple[Entry, ...] = ()
    allow: tuple[Entry, ...] = ()

    def denied(self, test: str) -> Entry | None:
        """The line by which a failure of this test does not count."""
        return next((entry for entry in self.deny if entry.covers(test)), None)

    def counts(self, test: str) -> bool:
        """Whether the verdict rests on this test."""
        return not self.denied(test) and (not self.allow or any(entry.covers(test) for entry in self.allow))


def split(test: str) -> tuple[str, str]:
    """A node id as BPF's CI would name it: ``a/test_b.py::test_c[d]`` is ``test_b`` and ``test_c[d]``."""
    path, _, function = test.partition("::")
    return PurePosixPath(path).stem, function


def _matches(pattern: str, name: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name, re.DOTALL) is not None


def load(kernel: str, folder: Path = FOLDER) -> Lists:
    """The lists for the kernel of this name. Raises SpecError where a line has no cause or a file cannot be read."""
    deny, allow = (
        tuple(entry for file in (folder / kind, folder / f"{kind}.{kernel}") for entry in _read(file))
        for kind in (DENY, ALLOW)
    )
    return Lists(deny, allow)


def check_names(kernels: Sequence[str], folder: Path = FOLDER) -> None:
    """Raise SpecError where a list is for a kernel that there is not: its lines would never be looked at."""
    for kind in (DENY, ALLOW):
        for file in sorted(folder.glob(f"{kind}.*")):
            name = file.name.partition(".")[2]
            if name not in kernels:
                raise SpecError(
                    f"{file} is for a kernel {name!r} that kernels.toml does not have",
                    remedy=f"the names are {', '.join(kernels)}",
                )


def _read(file: Path) -> Iterator[Entry]:
    try:
        text = file.read_text()
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{file} cannot be read ({error})") from error
    yield from parse(text, file.name)


def parse(text: str, name: str) -> Iterator[Entry]:
    """The entries of a list. A cause stands behind its line, or in the comment above it, as far as the next empty line.

    Raises SpecError for a line without one, and for a line of several words.
    """
    above = ""
    after_entry = False
    for number, line in enumerate(text.splitlines(), 1):
        pattern, _, comment = (part.strip() for part in line.partition("#"))
        where = f"{name}:{number}"
        if not pattern:
            fresh = after_entry or not line.strip()
            above = comment if fresh else f"{above} {comment}".strip()
            after_entry = False
            continue
        after_entry = True
        if len(pattern.split()) > 1:
            raise SpecError(
                f"{where}: {pattern!r} is more than one test", remedy="write one test or test/subtest a line"
            )
        if not (cause := comment or above):
            raise SpecError(
                f"{where}: {pattern} has no cause", remedy="write it behind a # on the line or in one above"
            )
        yield Entry(pattern, cause, where)
