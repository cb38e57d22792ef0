# SPDX-License-Identifier: GPL-2.0-only
"""Whether a run's arguments name a kernel that is built from source: only then setup brings what builds one."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path


def is_built(arguments: Sequence[str], checkout: Path) -> bool:
    """Whether one of pytest's ``arguments`` is a ``--kernel`` with an entry of kernels.toml that has a source.

    Where the file cannot be read the run itself says so.
    """
    try:
        entries = tomllib.loads((checkout / "kernel-config" / "kernels.toml").read_text())
    except (OSError, ValueError):
        return False
    tables = (entries.get(name) for name in _kernels(arguments))
    return any(isinstance(table, dict) and "source" in table for table in tables)


def _kernels(arguments: Sequence[str]) -> Iterator[str]:
    for number, word in enumerate(arguments):
        if word == "--kernel":
            yield from arguments[number + 1 : number + 2]
        elif word.startswith("--kernel="):
            yield word.partition("=")[2]
