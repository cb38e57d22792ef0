# SPDX-License-Identifier: GPL-2.0-only
"""DENYLIST and ALLOWLIST in the form of BPF's CI: one ``test`` or ``test/subtest`` a line, ``#`` before its cause.

A test is a file of the suite without its ``.py``, a subtest one of its functions; pytest's ids are accepted, too. ``*``
stands for any characters, as in test_progs (``tools/testing/selftests/bpf/test_progs.c``, ``glob_match``).
``DENYLIST`` is for every kernel, ``DENYLIST.NAME`` for the one of that name.
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
#: A line: a test, and its cause behind a ``#``. Parameters may hold blanks and ``#``: their bracket ends where nothing
#: but a comment follows. A pattern may end within it.
_LINE: Final = re.compile(r"\s*(?P<test>(?P<name>[^#\[]*?)(?:\[.*?(?:\]\*?|\*))?)\s*(?:#(?P<cause>.*))?", re.DOTALL)
#: pytest's id of a test, or a file with its ``.py``: what BPF's CI calls the test, and its subtest.
_NODE_ID: Final = re.compile(r"(?:[^\[]*/)?(?P<test>[^/\[]+?)(?:\.py::|\.py/|::|\.py$)(?P<subtest>.*)", re.DOTALL)
#: A file that was meant as a list; what editors and other tools put behind a name; what names differ by in vain.
_LIST: Final = re.compile(r"(?:deny|allow)[-_ ]?list", re.IGNORECASE)
_SUFFIX: Final = re.compile(r"~|\.(?:bak|conf|list|md|old|orig|txt)$", re.IGNORECASE)
_SEPARATORS: Final = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a list: which tests, why, and where it stands (``DENYLIST:12``)."""

    pattern: str
    cause: str
    where: str

    @property
    def common(self) -> bool:
        """Whether it stands in the list for every kernel."""
        return self.where.startswith((f"{DENY}:", f"{ALLOW}:"))

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
    """Raise SpecError where a list is for an unknown kernel, or misnamed: nothing would read its lines."""
    names = [name for kind in (DENY, ALLOW) for name in (kind, *(f"{kind}.{kernel}" for kernel in kernels))]
    meant = {_plain(name): name for name in reversed(names)}
    for file in sorted(file for file in folder.iterdir() if _LIST.search(file.name) and file.name not in names):
        kernel = file.name.partition(".")[2]
        if right := meant.get(_plain(file.name)):
            raise SpecError(f"nothing would read {file}", remedy=f"rename it to {right}, or remove it")
        if file.name.startswith((f"{DENY}.", f"{ALLOW}.")):
            raise SpecError(
                f"{file} is for a kernel {kernel!r} that kernels.toml does not have",
                remedy=f"the names are {', '.join(kernels)}",
            )
        raise SpecError(
            f"nothing would read {file}: lists are named {DENY}, {ALLOW}, {DENY}.KERNEL or {ALLOW}.KERNEL",
            remedy=f"rename or remove it; the kernels' names are {', '.join(kernels)}",
        )


def _plain(name: str) -> str:
    """A name without what it may differ by from the one that was meant: case, separators, a suffix."""
    return _SEPARATORS.sub("", _SUFFIX.sub("", name)).casefold()


def _read(file: Path) -> Iterator[Entry]:
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return
    except UnicodeDecodeError as error:
        raise SpecError(f"{file} is no UTF-8 text ({error.reason})", remedy="save it as UTF-8") from error
    except OSError as error:
        raise SpecError(f"{file} cannot be read ({error})") from error
    yield from parse(text, file.name)


def parse(text: str, name: str) -> Iterator[Entry]:
    """The entries of a list. A cause stands behind its line, or in the comment above it, as far as the next empty line.

    Raises SpecError for a line without one, and for a line that is no one test.
    """
    above = ""
    after_entry = False
    for number, line in enumerate(text.splitlines(), 1):
        where = f"{name}:{number}"
        pattern, cause = _line(line, where)
        if not pattern:
            fresh = after_entry or not line.strip()
            above = cause if fresh else f"{above} {cause}".strip()
            after_entry = False
            continue
        after_entry = True
        if not (cause := cause or above):
            raise SpecError(
                f"{where}: {pattern} has no cause", remedy="write it behind a # on the line or in one above"
            )
        yield Entry(pattern, cause, where)


def _line(line: str, where: str) -> tuple[str, str]:
    """The test and the cause that stand in a line, either may be empty. Raises SpecError."""
    found = _LINE.fullmatch(line)
    if found is None:
        raise SpecError(
            f"{where}: {line.strip()!r} does not name one test: only a # and its cause may follow the ]",
            remedy="write the test as pytest prints it, then a # and the cause",
        )
    written, name = found["test"].strip(), found["name"]
    if len(name.split()) > 1 or name != name.rstrip() or "," in name:
        raise SpecError(f"{where}: {written!r} is more than one test", remedy="write one test or test/subtest a line")
    node = _NODE_ID.fullmatch(written)
    pattern = f"{node['test']}/{node['subtest']}" if node and node["subtest"] else node["test"] if node else written
    if pattern.endswith("/") or (node and written.endswith(("::", "/"))):
        raise SpecError(
            f"{where}: {written!r} names no subtest", remedy="write the file's name alone for all of its tests"
        )
    return pattern, " ".join((found["cause"] or "").split())
