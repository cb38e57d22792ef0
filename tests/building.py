# SPDX-License-Identifier: GPL-2.0-only
"""What the tests of builds share: building here, and in a process of its own."""

from __future__ import annotations

import io
import os
import re
import sys
from pathlib import Path

import pytest

from kfunctest import proc
from kfunctest.kernels import build, patches, source
from kfunctest.kernels.build import Built, Recipe
from kfunctest.kernels.progress import Progress

TOOLS = ("git", "make", "gcc", "ld", "flex", "bison", "bc", "perl", "pahole")


def needs(*tools: str) -> pytest.MarkDecorator:
    """Skips tests where one of these tools is missing; not in scripts/check and CI, where they then fail."""
    complete = os.environ.get("KFUNCTEST_COMPLETE") or os.environ.get("CI") == "true"
    lacking = [tool for tool in tools if proc.find(tool) is None]
    return pytest.mark.skipif(bool(lacking) and not complete, reason=f"scripts/setup --build installs {lacking}")


needs_build_tools = needs(*TOOLS)


def made(tree: Path | str, *paths: Path, flavours: tuple[str, ...] = (), contract: str | None = None) -> Built:
    """Build the source ``tree`` with the patches in ``paths``."""
    recipe = Recipe(source.resolve(str(tree)), patches.read(paths), flavours, contract)
    return build.build(recipe, Progress(io.StringIO()))


def child(tree: Path) -> list[str]:
    """The command line of a process that builds ``tree``."""
    return [sys.executable, "-m", "kfunctest.build_kernel", str(tree)]


def compiled(built: Built) -> set[str]:
    """What make compiled for this kernel, by its log."""
    return set(re.findall(r"^  CC +(\S+)$", (built.folder / build.LOG).read_text(), re.MULTILINE))
