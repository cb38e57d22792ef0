# SPDX-License-Identifier: GPL-2.0-only
"""Questions to a git repository of the user's, which change nothing there."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kfunctest import proc
from kfunctest.errors import SpecError
from kfunctest.kernels.gitstore import clean_environment

_SECONDS: Final = 600.0
#: No lock is taken and nothing is fetched. GIT_NO_LAZY_FETCH is known from git 2.45 on; with no protocol allowed an
#: older one does not fetch either.
_READ_ONLY: Final = {"GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": "none"}
#: Variables that name files of settings, or hold settings. (git(1), git-config(1))
_SETTINGS: Final = re.compile(r"GIT_CONFIG_\w+")
_SETTINGS_FILES: Final = ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM")
#: The end of a commit's name in words: as long as the kernel's own "Fixes:" lines have it, whatever core.abbrev says.
_DIGITS: Final = 12


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository as seen from a directory: ``common`` is what its worktrees share, ``objects`` its object directory.

    ``prefix`` is where in the tree the directory is, ``sub/dir/`` or empty. ``ids`` is what objects are named by.
    """

    common: str
    objects: Path
    prefix: str
    ids: str

    @property
    def lineage(self) -> str:
        """What successive revisions of the directory have in common."""
        return f"{self.common}/{self.prefix.rstrip('/')}" if self.prefix else self.common


def repository(path: Path) -> Repository:
    """The repository that ``path`` belongs to. Raises SpecError where git opens none."""
    words = ("--git-common-dir", "--git-path", "objects", "--show-object-format", "--show-prefix")
    done = ask(path, "rev-parse", "--path-format=absolute", *words)
    if done.status:
        raise _not_opened(path, done.stderr)
    common, objects, kind, prefix, *more = done.stdout.split("\n")
    if any(more):
        raise SpecError(f"the git tree {path!r} has a newline in its path", remedy="rename that directory")
    return Repository(common, Path(objects), prefix, kind)


def require_sha1(path: Path, opened: Repository) -> None:
    """Raise SpecError where trees have names of another kind than in our store, which cannot borrow them then."""
    if opened.ids != "sha1":
        git = shlex.join(["git", "-C", str(path), "archive", "HEAD"])
        raise SpecError(
            f"the git tree {path} names its objects by {opened.ids}, and kernels are built from trees named by sha1",
            remedy=f"give its files as a plain directory: mkdir DIR && {git} | tar -x -C DIR",
        )


def _not_opened(path: Path, said: str) -> SpecError:
    last = (said.strip() or "git does not say why").splitlines()[-1].removeprefix("fatal: ")
    if foreign := re.search(r"dubious ownership in repository at '(.+)'$", said, re.MULTILINE):
        return SpecError(
            f"git does not trust {path}, which belongs to another user",
            remedy=f"git config --global --add safe.directory {shlex.quote(foreign[1])}",
        )
    own = path / ".git"
    if own.is_symlink() and not own.exists():
        return SpecError(f"{own} leads to {own.readlink()}, which is not there", remedy="mount it, or correct the link")
    if own.is_file() and (gone := re.search(r"not a git repository: (.+)$", said, re.MULTILINE)):
        return SpecError(
            f"{own} leads to a repository that is not there, {gone[1]}",
            remedy="mount or move it to that place; or, where it is now, git worktree repair " + shlex.quote(str(path)),
        )
    if re.search(r"not a git repository \(or any ", said):
        return SpecError(f"{path} is no git tree, so that it has no revisions", remedy="name a git tree")
    return SpecError(f"git cannot open {path}: {last}", remedy=f"see git -C {shlex.quote(str(path))} status")


def ask(path: Path, *words: str) -> proc.Completed:
    """Run git in ``path``, with no settings but the repository's own. It starts nothing that these name."""
    return _git(path, words, clean_environment(**_READ_ONLY))


def status(path: Path, *words: str) -> proc.Completed:
    """Run ``git status --porcelain`` in ``path``, whose output no setting changes, with the user's settings.

    They decide what a change is: core.autocrlf and filters say how files were checked out.
    """
    env: dict[str, str | None] = {name: None for name in os.environ if name.startswith("GIT_")}
    env |= {name: os.environ.get(name) for name in _SETTINGS_FILES}
    return _git(path, ("status", "--porcelain", *words), {**env, **_READ_ONLY, "LC_ALL": "C"})


def _git(path: Path, words: tuple[str, ...], env: Mapping[str, str | None]) -> proc.Completed:
    trusted = [f"safe.directory={directory}" for directory in _trusted()]
    settings = ["core.fsmonitor=false", "core.untrackedCache=false", *trusted]
    plain = [word for setting in settings for word in ("-c", setting)]
    return proc.run([proc.need("git"), *plain, "-C", path, *words], seconds=_SECONDS, env=env, check=False)


def _trusted() -> list[str]:
    """What the user lets git trust (safe.directory), in order: a permission, not a taste.

    As git does it, outside of any repository: none can trust itself.
    """
    env: dict[str, str | None] = {
        name: None for name in os.environ if name.startswith("GIT_") and not _SETTINGS.fullmatch(name)
    }
    words = ("config", "--null", "--get-all", "safe.directory")
    argv = [proc.need("git"), *words]
    done = proc.run(argv, seconds=_SECONDS, cwd=Path("/"), env={**env, "GIT_DIR": os.devnull}, check=False)
    return done.stdout.split("\0")[:-1]


def commit_words(path: Path, commit: str) -> str:
    """A commit by 12 digits and its subject, and by what the user has put in its place (git-replace(1))."""
    words = ("show", "--no-patch", "--no-show-signature", "--encoding=UTF-8", "--format=%s", commit)
    subject = ask(path, *words).stdout.strip()
    instead = next((id_ for _, id_, name in replaced(path) if name == f"refs/replace/{commit}"), "")
    more = f", replaced by {instead[:_DIGITS]}" if instead else ""
    return f"{commit[:_DIGITS]} ({subject}{more})"


def replaced(path: Path) -> list[tuple[str, str, str]]:
    """What the user has put in the place of other objects (git-replace(1)): its kind, its id, and its reference."""
    done = ask(path, "for-each-ref", "--format=%(objecttype) %(objectname) %(refname)", "refs/replace")
    return [(kind, id_, name) for kind, id_, name in map(str.split, done.stdout.splitlines())]


def refuse_replaced_content(path: Path) -> None:
    """Raise SpecError where files or directories are replaced: in our store they would be the old ones.

    Of a replaced commit the tree is taken that git in ``path`` shows.
    """
    names = [name.rpartition("/")[2] for kind, _, name in replaced(path) if kind in ("blob", "tree")]
    if names:
        raise SpecError(
            f"the git tree {path} replaces the file or directory {names[0]} (git replace)",
            remedy=f"commit the replacement, or take it back: git -C {shlex.quote(str(path))} replace -d {names[0]}",
        )


def require_files(path: Path, revision: str) -> None:
    """Raise SpecError where ``path`` is a partial clone (git clone --filter) that lacks files of ``revision``.

    A clone without such a remote is not looked at: that would take a second.
    """
    promised = ask(path, "config", "--get-regexp", r"^remote\..*\.promisor$")
    remotes = [line.partition(" ")[0].split(".", 1)[1].rpartition(".")[0] for line in promised.stdout.splitlines()]
    if not remotes:
        return
    words = ("rev-list", "--objects", "--missing=print", "--max-count=1")
    listed = ask(path, *words, "--end-of-options", revision)
    lacking = sum(line.startswith("?") for line in listed.stdout.splitlines())
    if lacking:
        git = ["git", "-C", str(path)]
        fetch = shlex.join([*git, "fetch", "--no-filter", "--stdin", remotes[0]])
        raise SpecError(
            f"the partial clone {path} lacks {lacking} files or folders of {revision!r}",
            remedy=f"fetch them: {shlex.join([*git, *words, revision])} | sed -n 's/^?//p' | {fetch}",
        )
