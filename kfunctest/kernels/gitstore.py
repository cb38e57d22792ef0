# SPDX-License-Identifier: GPL-2.0-only
"""The cache's own git store: the sources of all kernels that are built, as trees.

The user's repositories are read through alternates and never written: objects, indexes and work trees are ours.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kfunctest import cache, proc
from kfunctest.errors import InfraError, SpecError

#: Seconds that git may take for a question, and for work on a whole tree of 95,000 files on a slow disk.
_ASKED: Final = 120.0
_WORKING: Final = 3600.0

#: git's settings for our store. Nothing is packed anew or pruned behind our back, and no file is converted.
_SETTINGS: Final = (
    "gc.auto=0",
    "maintenance.auto=false",
    "core.compression=1",  # of a kernel's source: 350 MB; 9 takes six times as long and saves a tenth
    "core.autocrlf=false",
    # Whole sources are in packs. Single objects, of plain folders and patched files, are too many for that: one that a
    # power cut tore is told by its damage.
    "core.fsync=pack,pack-metadata",
    "checkout.workers=0",
)

#: What git says of objects, packs and indexes that are not whole. (object-file.c, packfile.c, read-cache.c)
_DAMAGE: Final = re.compile(
    r"^(?:error|fatal): (.*(?:is corrupt|is empty|hash mismatch|does not match index"
    r"|unable to read (?:sha1 file|object)|failed to unpack tree object"
    r"|index file corrupt|index file smaller|bad index).*)$",
    re.MULTILINE,
)


#: Files of the user's in $XDG_CONFIG_HOME/git that count, whatever the settings are, unless others are named.
_NO_FILES: Final = ("core.attributesFile", "core.excludesFile")


def clean_environment(**ours: str) -> dict[str, str | None]:
    """An environment in which git does nothing that its user's settings or variables ask for, and ``ours``.

    Every git that this project starts gets it, but for the one that says whether a tree of the user's has changes.
    """
    drop = {name: None for name in os.environ if name.startswith("GIT_")}
    fixed = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_ATTR_NOSYSTEM": "1"}
    fixed |= {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", "GIT_CONFIG_COUNT": str(len(_NO_FILES))}
    for number, name in enumerate(_NO_FILES):
        fixed |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": os.devnull}
    return {**drop, **fixed, **ours}


def outside(*words: str | Path, stdin: bytes, check: bool = True) -> proc.Completed:
    """What git makes of its input, in no repository."""
    argv = [proc.need("git"), *words]
    return proc.run(argv, seconds=300.0, env=clean_environment(GIT_DIR=os.devnull), stdin=stdin, check=check)


def patch_id(diff: bytes) -> str:
    """Git's stable patch id, of 12 digits; a digest of a diff that has none; empty where there is no diff."""
    if not diff:
        return ""
    if known := outside("patch-id", "--stable", stdin=diff).stdout[:12]:
        return known
    tried = outside("apply", "--numstat", stdin=diff, check=False)
    none = tried.status and re.search("No valid patches|unrecognized input", tried.stderr)
    return "" if none else cache.digest(diff)[:12]


@dataclass(frozen=True, slots=True)
class Store:
    """The store, together with the object folder of one of the user's repositories where a source is in that."""

    alternate: Path | None = None

    @property
    def folder(self) -> Path:
        """The bare repository."""
        return cache.root() / "trees" / "store.git"

    def make(self) -> None:
        """Make the repository where there is none yet."""
        if (self.folder / "HEAD").exists():
            return
        with cache.locked("store"), cache.filling():
            if (self.folder / "HEAD").exists():
                return
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            partial = self.folder.with_suffix(".git.partial")  # of a killed one, too: we hold the lock
            shutil.rmtree(partial, ignore_errors=True)
            shutil.rmtree(self.folder, ignore_errors=True)  # in which there is no HEAD
            argv = [proc.need("git"), "init", "--quiet", "--bare", "--template=", str(partial)]
            proc.run(argv, seconds=_ASKED, env=clean_environment())
            partial.rename(self.folder)

    def argv(self, *words: str | Path) -> list[str]:
        """The command line of a git that works on the store."""
        settings: list[str] = [word for setting in _SETTINGS for word in ("-c", setting)]
        return [proc.need("git"), *settings, *map(str, words)]

    def environment(self, **ours: str) -> dict[str, str | None]:
        """The environment of such a git."""
        more = {"GIT_ALTERNATE_OBJECT_DIRECTORIES": _quoted(self.alternate)} if self.alternate else {}
        return clean_environment(GIT_DIR=str(self.folder), **more, **ours)

    def git(
        self,
        *words: str | Path,
        env: Mapping[str, str] | None = None,
        stdin: str | bytes | None = None,
        check: bool = True,
        cwd: Path | None = None,
    ) -> proc.Completed:
        """Run git on the store.

        Raises what :func:`kfunctest.proc.run` raises, and InfraError with the remedy where something in the store is
        damaged, whatever ``check`` is: else what is damaged would pass as missing.
        """
        environment = self.environment(**(env or {}))
        try:
            done = proc.run(self.argv(*words), seconds=_WORKING, cwd=cwd, env=environment, stdin=stdin, check=check)
        except proc.CommandError as error:
            self._refuse_damage(error.completed, environment)
            raise
        self._refuse_damage(done, environment)
        return done

    def _refuse_damage(self, done: proc.Completed, environment: Mapping[str, str | None]) -> None:
        lines = _DAMAGE.findall(done.stderr) if done.status else []
        if not lines:
            return
        said = next((line for line in lines if "stored in" in line), lines[-1])
        index = environment.get("GIT_INDEX_FILE")
        if index and "index" in said:
            raise _damaged(f"the cache's {index} is damaged: {said}", Path(index))
        if self.alternate is not None and str(self.folder) not in said:
            raise SpecError(
                f"the git tree with the objects {self.alternate} is damaged: {said}",
                remedy=f"git -C {shlex.quote(str(self.alternate.parent))} fsck",
            )
        raise _damaged(f"the cache's {self.folder} is damaged: {said}", self.folder)

    def has(self, tree: str) -> bool:
        """Whether the tree is there."""
        return self.folder.is_dir() and self.git("cat-file", "-e", f"{tree}^{{tree}}", check=False).status == 0

    def text(self, tree: str, path: str) -> str | None:
        """The content of a file of ``tree``, or None where it has no such file."""
        done = self.git("cat-file", "blob", f"{tree}:{path}", check=False)
        return done.stdout if done.status == 0 else None

    @contextmanager
    def index(self, name: str) -> Iterator[dict[str, str]]:
        """The index called ``name``, kept for the next time, as an environment for :meth:`git`; one holds it."""
        path = self.folder / "indexes" / name  # it is of no use without the objects
        with cache.locked(f"index-{name}"), cache.filling():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_name(f"{name}.lock").unlink(missing_ok=True)  # of a git that was killed
            yield {"GIT_INDEX_FILE": str(path)}


def _damaged(problem: str, what: Path) -> InfraError:
    return InfraError(problem, remedy=f"remove it, and the next run makes it anew: rm -rf {shlex.quote(str(what))}")


def _quoted(path: Path) -> str:
    """A path as git reads it in a list separated by colons."""
    text = str(path)
    if not any(character in text for character in ':"\\\n'):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
