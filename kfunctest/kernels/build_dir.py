# SPDX-License-Identifier: GPL-2.0-only
"""Where kernels are built: a source folder and an object folder for each lineage and set of flavours.

Successive revisions of a source go through the same slot, in which git rewrites only the files that differ and make
then compiles only what depends on these.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kfunctest import cache
from kfunctest.errors import InfraError
from kfunctest.kernels.gitstore import Store

#: Part of a slot's name: raise it when what is in one can no longer be built upon.
_FORMAT: Final = "slot-1"
#: Folders that make builds nothing in but objects of the kernel.
_AFTER_TOOLS: Final = ("kernel", "mm", "fs")


@dataclass(frozen=True, slots=True)
class Slot:
    """One of these places, held by us."""

    folder: Path

    @property
    def src(self) -> Path:
        """The source, as it is checked out now."""
        return self.folder / "src"

    @property
    def obj(self) -> Path:
        """What make makes."""
        return self.folder / "obj"

    @property
    def log(self) -> Path:
        """What the last make here printed."""
        return self.folder / "build.log"

    @property
    def unfinished(self) -> Path:
        """There while we work here, and after what was ended by something else than its own success."""
        return self.folder / "unfinished"

    @property
    def scratch(self) -> Path:
        """For temporary files of compilers: those of one that was killed are found and removed here."""
        return self.folder / "tmp"

    @property
    def whole(self) -> Path:
        """There once a build ended well here: from then on only what changed is compiled."""
        return self.folder / "whole"

    def check_out(self, store: Store, tree: str) -> None:
        """Make ``src`` that tree, writing only what differs. Raises NoSpace on a full disk."""
        torn = self.folder / "checking-out"
        env = {"GIT_INDEX_FILE": str(self.folder / "index"), "GIT_WORK_TREE": str(self.src)}
        with cache.filling():
            (self.folder / "index.lock").unlink(missing_ok=True)  # of a git that was killed
            if not self.src.exists():
                _check_space(self.folder, store, tree)
            self.src.mkdir(parents=True, exist_ok=True)
            again = torn.exists()
            torn.touch()
            # --reset looks at every file's size and times, so that one that was torn or tampered with is written anew.
            store.git("read-tree", "--reset", "-u", tree, env=env, cwd=self.src)
            if again:
                store.git("clean", "-ffdxq", env=env, cwd=self.src)
            torn.unlink()

    @contextmanager
    def working(self) -> Iterator[None]:
        """Mark the slot as unfinished while the block lasts, after what a killed make left torn is removed."""
        if self.unfinished.exists():
            self._discard_torn()
        self.unfinished.touch()
        yield
        self.unfinished.unlink()

    def _discard_torn(self) -> None:
        """Remove what a killed make left half-written.

        kbuild writes the command line of a target beside it (``.NAME.cmd``) once the target is done, so that one which
        is newer than its command line, or has none of its own, was being made. (scripts/Kbuild.include: if_changed)
        """
        for command in self.obj.rglob(".*.cmd"):
            target = command.with_name(command.name[1:].removesuffix(".cmd"))
            if target.is_file() and target.stat().st_mtime_ns > command.stat().st_mtime_ns:
                target.unlink()
        for target in self.obj.rglob("*.o"):
            if not target.with_name(f".{target.name}.cmd").exists():
                target.unlink()
        if self._tools_torn():
            shutil.rmtree(self.obj / "tools")

    def _tools_torn(self) -> bool:
        """Whether a file below ``tools``, whose programs and archives come without command lines, may be half-written.

        That is one from the unfinished run, if no object of the kernel is newer: make begins with these only once
        all tools are done. (Makefile: prepare)
        """
        newest = self.unfinished.stat().st_mtime_ns
        for part in _AFTER_TOOLS:
            times = (command.stat().st_mtime_ns for command in (self.obj / part).rglob(".*.o.cmd"))
            newest = max(newest, *times, 0)
        tools = self.obj / "tools"
        return any(path.lstat().st_mtime_ns >= newest for path in tools.rglob("*") if path.is_file())


def _check_space(folder: Path, store: Store, tree: str) -> None:
    """Refuse what would fail after minutes: a new slot takes the source, and objects of about the same size."""
    sizes = (line.split(None, 4)[3] for line in store.git("ls-tree", "-r", "-l", tree).stdout.splitlines())
    needed = 2 * sum(int(size) for size in sizes if size.isdigit())
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InfraError(
            f"a build needs {needed >> 20} MB in {cache.root()}, its disk has {free >> 20} MB free",
            remedy=cache.SPACE_REMEDY,
        )


@contextmanager
def opened(lineage: str, flavours: Sequence[str]) -> Iterator[Slot]:
    """The slot for this lineage and these flavours, made where there is none; who else wants it waits.

    Raises InfraError where the kernel's make would refuse the folder (Makefile: "cannot contain spaces or colons"), or
    take its path apart: make itself, the shells it starts, ``-Wp,-MD,PATH`` of tools/, ``-ffile-prefix-map=OLD=NEW``.
    """
    if found := re.search(r"[^\w/.@~+-]", str(cache.root())):
        raise InfraError(
            f"a kernel cannot be built in {str(cache.root())!r}: make takes no {found[0]!r} in a path",
            remedy="set KFUNCTEST_CACHE to a path of letters, digits and ._-+@~",
        )
    words = [lineage.removesuffix("/.git").rpartition("/")[2], *flavours]
    readable = re.sub(r"[^\w.]+", "-", "-".join(words)).strip("-.")
    name = f"{readable[:60]}-{cache.digest(_FORMAT, lineage, *flavours)[:8]}"
    with cache.locked(f"slot-{name}"), cache.filling():
        folder = cache.root() / "trees" / name
        (folder / "obj").mkdir(parents=True, exist_ok=True)
        yield Slot(folder)


def remove(slot: Slot) -> None:
    """Give the slot's space back; its next build is a whole one."""
    shutil.rmtree(slot.folder, ignore_errors=True)
