# SPDX-License-Identifier: GPL-2.0-only
"""Kernels of mutants: the slim 7.2 with one more patch, built upon what the last one left in the same place."""

from __future__ import annotations

import io
import os
import shutil
from dataclasses import replace
from typing import Final

from kfunctest import cache
from kfunctest.errors import SpecError
from kfunctest.kernels import build, named, patches, spec
from kfunctest.kernels.build import Recipe
from kfunctest.kernels.progress import Progress
from kfunctest.mutate.catalogue import Mutant
from kfunctest.mutate.pipeline import Builder

#: The kernel that the patches are against.
BASE: Final = "7.2-slim"
#: How the subject of each patch begins.
SUBJECT: Final = "mutation: "
#: Kernels of mutants that the cache keeps, those used last: each takes about 170 MB, and less than a minute to make.
KEPT: Final = 20


def recipe(mirror: str | None, progress: Progress) -> Recipe:
    """What the kernel without any mutation is made of. Raises SpecError or InfraError where it cannot be had."""
    entry = named.find(BASE)
    if entry is None:
        raise SpecError(f"kernels.toml has no {BASE}, which the mutations are against")
    return spec.recipe(entry, mirror=mirror, progress=progress)


def builder(base: Recipe) -> Builder:
    """Builds a mutant upon ``base``, silently: what is judged meanwhile has the terminal."""

    def make(mutant: Mutant) -> str:
        changed = replace(base, patches=(*base.patches, *patches.read([mutant.patch])))
        folder = build.build(changed, Progress(io.StringIO())).folder
        os.utime(folder)
        prune()
        return str(folder)

    return make


def prune(keep: int = KEPT) -> None:
    """Remove kernels of mutants from the cache, but for the ``keep`` that were used last."""
    known = [
        (path.stat().st_mtime_ns, path)
        for path in (cache.root() / "built").iterdir()
        if (made := build.read_provenance(path)) and any(subject.startswith(SUBJECT) for _, subject in made.patches)
    ]
    for _, path in sorted(known)[: max(len(known) - keep, 0)]:
        shutil.rmtree(path, ignore_errors=True)
