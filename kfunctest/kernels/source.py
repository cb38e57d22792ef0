# SPDX-License-Identifier: GPL-2.0-only
"""What SOURCE means: a tree in the git store, whether it comes from a package, a git tree or a plain folder."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kfunctest import cache
from kfunctest.errors import SpecError
from kfunctest.kernels import debian_source, user_paths, usersgit
from kfunctest.kernels.gitstore import Store
from kfunctest.kernels.progress import Progress

#: What is understood, for messages.
FORMS: Final = "debian:7.2, a git tree (PATH, PATH@REVISION or PATH@REVISION:DIR), or a folder with a kernel's source"
#: What make takes for the traces of a build in the source's place, beside which it builds nothing elsewhere. (Makefile:
#: outputmakefile, "The source tree is not clean")
_BUILT_IN: Final = (".config", "include/config", "arch/x86/include/generated")
#: At the top of a folder its .gitignore does not decide what is source: Debian's ignores everything there. In its place
#: these do, which are left by builds and by tools. (gitignore(5); of what stands on a command line the last counts)
_NO_SOURCE: Final = (
    "!/*",
    *("/.config*", "/.tmp_*", "/.*.cmd", "/.*.d", "/.version", "/.cache*", "/.git", "/.vmlinux*", "/.built-in*"),
    *("/*.o", "/*.a", "/*.symvers", "/*.orig", "/*.rej", "/*.patch", "/*.log", "/*~"),
    *(
        "/vmlinux*",
        "/System.map",
        "/modules.*",
        "/modules-only.*",
        "/compile_commands.json",
        "/cscope*",
        "/tags",
        "/TAGS",
    ),
)


@dataclass(frozen=True, slots=True)
class Source:
    """A kernel's source before any patch.

    ``lineage`` is what successive revisions of it have in common: they are built in the same place, each from what the
    last one left. ``words`` are its provenance for reports, ``release`` the first two numbers of its version.
    """

    lineage: str
    store: Store
    tree: str
    words: str
    release: tuple[int, int]


def resolve(
    text: str, *, base: Path = Path(), mirror: str | None = None, update: bool = False, progress: Progress | None = None
) -> Source:
    """The source that ``text`` names; a relative path starts at ``base``.

    Raises SpecError when there is no such source, it is no kernel's, or what it means is not certain (uncommitted
    changes); InfraError when this machine cannot get it.
    """
    if text.partition(":")[0] == "debian":
        got = debian_source.fetch(text, mirror=mirror, update=update, progress=progress or Progress())
        return _checked(text, Store(), got.tree, got.words, got.package)
    path, revision = _split(text, base)
    if revision is not None or os.path.lexists(path / ".git") or _is_bare(path):
        return _from_git(path, revision)
    return _from_folder(path, progress or Progress())


def _split(text: str, base: Path) -> tuple[Path, str | None]:
    """PATH and REVISION of PATH@REVISION; both may have more of the @."""
    whole = user_paths.written(text, base)
    if whole.exists():
        return _folder(whole), None
    for match in re.finditer("@", text):
        path = user_paths.written(text[: match.start()], base)
        if match.start() and path.exists():
            return _folder(path), text[match.end() :] or "HEAD"
    if "/" in text or "@" in text:
        raise SpecError(f"the source {text} does not exist", remedy=f"write {FORMS}")
    raise SpecError(f"there is no source {text!r}", remedy=f"write {FORMS}")


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise SpecError(f"the source {path} is no folder", remedy=f"write {FORMS}")
    return path.resolve()


def _is_bare(path: Path) -> bool:
    return all((path / name).exists() for name in ("HEAD", "objects", "refs"))


def _from_git(path: Path, revision: str | None) -> Source:
    repository = usersgit.repository(path)
    usersgit.require_sha1(path, repository)
    if revision is None and not _is_bare(path):
        _refuse_dirty(path)
    asked = revision or "HEAD"
    at, folder, tree = asked, repository.prefix.rstrip("/"), _object(path, f"{asked}^{{tree}}")
    if not tree and ":" in asked:  # REVISION:DIR, of which git takes no ^{tree}
        at, _, folder = asked.rpartition(":")
        tree = _object(path, f"{at}^{{tree}}")
    usersgit.require_files(path, f"{at}:{folder}" if folder else asked)
    if not tree:
        raise _unknown(path, at)
    found = _object(path, f"{tree}:{folder}") if folder else tree
    if not found:
        raise SpecError(f"the git tree {path} has no directory {folder} at {at}", remedy=f"git -C {path} ls-tree {at}")
    usersgit.refuse_replaced_content(path)
    store = Store(repository.objects)
    store.make()
    commit = _object(path, f"{at}^{{commit}}")
    words = f"{path} at {usersgit.commit_words(path, commit) if commit else found}"
    words += f", directory {folder}" if at != asked else ""
    lineage = f"{repository.common}/{folder}" if folder else repository.common
    return _checked(lineage, store, found, words, f"{path} at {asked}")


def _object(path: Path, revision: str) -> str:
    """The object that the revision means in the user's repository, or nothing."""
    return usersgit.ask(path, "rev-parse", "--quiet", "--verify", "--end-of-options", revision).stdout.strip()


def _refuse_dirty(path: Path) -> None:
    done = usersgit.status(path, "--untracked-files=no", "--ignore-submodules=all", "--no-renames", "--", ".")
    if done.status:
        said = [line for line in done.stderr.splitlines() if line.startswith(("fatal: ", "error: "))]
        raise SpecError(
            f"git cannot tell whether {path} has changes: {(said or [f'status {done.status}'])[-1]}",
            remedy=f"mend it (git -C {shlex.quote(str(path))} status), or name what is committed: {path}@HEAD",
        )
    lines = done.stdout.splitlines()
    if lines:
        more = f" and {len(lines) - 1} more" if len(lines) > 1 else ""
        raise SpecError(
            f"the git tree {path} has changes that are not committed ({lines[0][3:]}{more})",
            remedy=f"commit them, or name what is committed: {path}@HEAD",
        )


def _unknown(path: Path, revision: str) -> SpecError:
    if usersgit.ask(path, "rev-parse", "--is-shallow-repository").stdout.strip() == "true":
        return SpecError(
            f"the shallow git tree {path} has no revision {revision!r}", remedy=f"git -C {path} fetch --unshallow"
        )
    if revision == "HEAD":
        return SpecError(f"the git tree {path} has no commit yet", remedy="commit the kernel's source")
    return SpecError(
        f"the git tree {path} has no revision {revision!r}",
        remedy=f"git -C {path} fetch, or write a commit that it has",
    )


def _from_folder(path: Path, progress: Progress) -> Source:
    if not (path / "Makefile").is_file():
        raise _no_kernel(str(path))
    store = Store()
    store.make()
    with store.index(f"folder-{cache.digest(str(path))}") as index:
        progress.say(f"reading {path} ...")
        env = {**index, "GIT_WORK_TREE": str(path)}
        _update_index(store, env, path)
        tree = store.git("write-tree", env=env).stdout.strip()
    return _checked(str(path), store, tree, f"{path}, tree {tree[:12]}", str(path))


def _update_index(store: Store, env: Mapping[str, str], path: Path) -> None:
    """Make the index what is in the folder now, whatever was in it: of what is there only what changed is read."""

    def listed(*words: str, **other: str) -> set[str]:
        found = store.git("ls-files", "-z", *words, env={**env, **other}, cwd=path).stdout.split("\0")
        return {name for name in found if name and not name.endswith("/")}  # that would be a repository of its own

    def update(names: set[str], *words: str) -> None:
        stdin = "".join(f"{name}\0" for name in sorted(names))
        store.git("update-index", *words, "-z", "--stdin", env=env, cwd=path, stdin=stdin)

    ignored = [f"--exclude={pattern}" for pattern in _NO_SOURCE]
    # To an empty index nothing is known, so that what is ignored by now is not listed.
    empty = f"{env['GIT_INDEX_FILE']}.empty"
    wanted = listed("--others", "--exclude-per-directory=.gitignore", *ignored, GIT_INDEX_FILE=empty)
    for trace in _BUILT_IN:
        if any(name == trace or name.startswith(f"{trace}/") for name in wanted):
            raise SpecError(
                f"{path} was built in: it holds {trace}, and no .gitignore there tells what is source",
                remedy=f"make -C {shlex.quote(str(path))} ARCH=x86_64 mrproper, or give a fresh copy of the source",
            )
    known = listed("--cached")
    update(known - wanted, "--force-remove")  # first: in the place of a file there may be a folder now
    update((wanted - known) | (wanted & listed("--modified")), "--add")


def _checked(lineage: str, store: Store, tree: str, words: str, place: str) -> Source:
    """The source, if its top Makefile is that of a kernel (VERSION and PATCHLEVEL) for x86."""
    makefile = store.text(tree, "Makefile") or ""
    numbers = [re.search(rf"^{name} = (\d+)$", makefile, re.MULTILINE) for name in ("VERSION", "PATCHLEVEL")]
    if numbers[0] is None or numbers[1] is None or store.text(tree, "Kconfig") is None:
        raise _no_kernel(place)
    if store.text(tree, "arch/x86/Makefile") is None:
        raise SpecError(
            f"{place} is a kernel's source without arch/x86, for which kernels are built here",
            remedy="give it the whole source",
        )
    traces = store.git("ls-tree", "--name-only", tree, "--", *_BUILT_IN).stdout.splitlines()
    if traces:
        raise SpecError(
            f"{place} contains build output, {traces[0]}: make O= needs a clean source tree",
            remedy=f"git rm -r --cached {' '.join(traces)}, and commit",
        )
    return Source(lineage, store, tree, words, (int(numbers[0][1]), int(numbers[1][1])))


def _no_kernel(place: str) -> SpecError:
    return SpecError(
        f"{place} is not a kernel's source: it has no Kconfig, or no Makefile with VERSION and PATCHLEVEL",
        remedy=f"write {FORMS}",
    )
