# SPDX-License-Identifier: GPL-2.0-only
"""From a commit of the user's tree to a kernel."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from kfunctest.bisect.build_impact import Change
from kfunctest.bisect.types import Made
from kfunctest.errors import SpecError
from kfunctest.kernels import build, kbuild_deps, patches, source, spec
from kfunctest.kernels.build import Recipe
from kfunctest.kernels.kbuild_deps import Inputs
from kfunctest.kernels.patches import Patch
from kfunctest.kernels.progress import Progress


@dataclass
class Builder:
    """Builds commits of ``tree``, each with the same patches, flavours and declared contract."""

    tree: Path
    patches: tuple[Patch, ...] = ()
    flavours: tuple[str, ...] = ()
    contract: str | None = None
    progress: Progress = field(default_factory=Progress)
    _recipes: dict[str, Recipe] = field(default_factory=dict)

    def recipe(self, commit: str) -> Recipe:
        """What the commit is built from. Raises SpecError where it is no kernel."""
        if commit not in self._recipes:
            found = source.resolve(f"{self.tree}@{commit}", progress=self.progress)
            self._recipes[commit] = Recipe(found, self.patches, self.flavours, self.contract)
        return self._recipes[commit]

    def make(self, commit: str) -> Made:
        """The kernel of this commit, built where it is not yet.

        Raises SpecError where it does not build, or comes to a kernel that cannot be judged; InfraError where this
        machine is at fault.
        """
        return of_recipe(self.recipe(commit), self.progress)

    def changes(self, old: str, new: str) -> list[Change]:
        """The files that differ between two commits with the patches on them. Raises SpecError where one has none."""
        trees = []
        for commit in (old, new):
            recipe = self.recipe(commit)
            trees.append(patches.apply(recipe.source.store, recipe.source.tree, recipe.patches))
        words = ("diff-tree", "-r", "-z", "--no-renames", "--name-status", *trees)
        listed = self.recipe(new).source.store.git(*words).stdout.split("\0")
        return list(zip(listed[0::2], listed[1::2], strict=False))

    def evidence(self, made: Made) -> tuple[Inputs | None, str]:
        """What the build of this kernel read, and its configuration."""
        folder = Path(made.folder)
        try:
            return kbuild_deps.read(folder / kbuild_deps.NAME), (folder / build.CONFIG).read_text()
        except OSError:
            return None, ""

    def configuration(self, commit: str) -> str | None:
        """The configuration of this commit; None where it cannot be configured. Raises InfraError."""
        try:
            return build.configuration(self.recipe(commit))
        except SpecError:
            return None


def of_recipe(recipe: Recipe, progress: Progress) -> Made:
    """The kernel that the recipe makes. Raises what :meth:`Builder.make` raises."""
    built = build.build(recipe, progress)
    kernel = spec.resolve(str(built.folder))
    return Made(str(built.folder), kernel.image_digest, kernel.release, tuple(sorted(kernel.facts.kfuncs)))
