# SPDX-License-Identifier: GPL-2.0-only
"""What the tests of builds share: building here, and in a process of its own."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from kfunctest import proc
from kfunctest.kernels import build, patches, source
from kfunctest.kernels.build import Built, Recipe
from kfunctest.kernels.progress import Progress

TOOLS = ("git", "make", "gcc", "ld", "flex", "bison", "bc", "perl", "pahole")
needs_build_tools = pytest.mark.skipif(
    any(proc.find(tool) is None for tool in TOOLS), reason="needs what scripts/setup --build installs"
)


def made(tree: Path | str, *paths: Path, flavours: tuple[str, ...] = (), contract: str | None = None) -> Built:
    """Build the source ``tree`` with the patches in ``paths``."""
    recipe = Recipe(source.resolve(str(tree)), patches.read(paths), flavours, contract)
    return build.build(recipe, Progress(io.StringIO()))


def child(tree: Path) -> list[str]:
    """The command line of a process that builds ``tree``."""
    return [sys.executable, "-m", "kfunctest.build_kernel", str(tree)]
