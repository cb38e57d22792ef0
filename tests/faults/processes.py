# SPDX-License-Identifier: GPL-2.0-only
"""Processes of this machine, found without asking anybody who may be part of the fault."""

from __future__ import annotations

from pathlib import Path


def children(pid: int) -> list[int]:
    """The processes that ``pid`` is the ancestor of, nearest first."""
    parents = _parents()
    found, generation = [], [pid]
    while generation:
        generation = [child for child, parent in parents.items() if parent in generation]
        found += generation
    return found


def qemu(pid: int) -> int:
    """The one QEMU that ``pid`` is the ancestor of."""
    (found,) = (child for child in children(pid) if _name(child).startswith("qemu-system"))
    return found


def started_with(temporary: Path) -> list[str]:
    """The command lines of all processes whose temporary folder this is, or one below it."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if f"TMPDIR={temporary}".encode() in (path / "environ").read_bytes():
                found.append((path / "cmdline").read_text(errors="replace").replace("\0", " "))
        except OSError:
            continue
    return found


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/exe").readlink().name
    except OSError:
        return ""


def _parents() -> dict[int, int]:
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            # The name, in parentheses, may hold anything: what follows it begins with the state and the parent.
            found[int(path.name)] = int((path / "stat").read_text(errors="replace").rpartition(")")[2].split()[1])
        except OSError:
            continue
    return found
