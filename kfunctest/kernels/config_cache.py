# SPDX-License-Identifier: GPL-2.0-only
"""The final configuration of a source, remembered: most patches and most commits cannot change it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from kfunctest import cache, files
from kfunctest.kernels.gitstore import Store
from kfunctest.kernels.toolchain import Toolchain

_FORMAT: Final = "config-1"
#: The files that a configuration comes of. Every file that a Kconfig file includes is called so too; what these run
#: to ask about the toolchain is in scripts/.
_DECIDING: Final = re.compile(r"(?:.*/)?[^/]*Kconfig[^/]*|Makefile|arch/x86/Makefile.*|scripts/(?!kconfig/tests/).*")


def place(store: Store, tree: str, fragment: str, tools: Toolchain) -> Path:
    """Where the configuration that ``fragment`` gives in ``tree`` is kept, once it was made and found to hold."""
    listed = store.git("ls-tree", "-r", "-z", tree).stdout.split("\0")
    deciding = [line for line in listed if _DECIDING.fullmatch(line.partition("\t")[2])]
    return cache.root() / "resolved" / f"config-{cache.digest(_FORMAT, *deciding, fragment, *tools.words)}"


def recall(place: Path) -> str | None:
    """The configuration kept there, or None."""
    try:
        return place.read_text()
    except OSError:
        return None


def remember(place: Path, text: str) -> None:
    """Keep the configuration there."""
    with cache.space_guard():
        place.parent.mkdir(parents=True, exist_ok=True)
        files.write(place, text)


def put(final: Path, text: str) -> None:
    """Make ``final`` that text, leaving one alone that is it already: make looks into a newer one again."""
    if recall(final) != text:
        final.write_text(text)
