# SPDX-License-Identifier: GPL-2.0-only
"""git bisect, driven in a repository of our own that borrows the user's objects: theirs is only read."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kfunctest import proc
from kfunctest.bisect.types import BREAK, Kind, Terms
from kfunctest.errors import InfraError, SpecError
from kfunctest.kernels import usersgit
from kfunctest.kernels.gitstore import clean_environment

_SECONDS: Final = 1800.0
#: What git writes at the end of its log when it is through. (bisect.c: log_commit, "# first bad commit")
_FOUND: Final = re.compile(r"^# first \S+ commit: \[([0-9a-f]+)\]", re.MULTILINE)
_SUSPECT: Final = re.compile(r"^# possible first \S+ commit: \[([0-9a-f]+)\]", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit: its id, what it is called, who wrote it, and the files it changes against its first parent."""

    id: str
    subject: str
    author: str = ""
    date: str = ""
    parents: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f'{self.id[:12]} ("{self.subject}")'


@dataclass(frozen=True, slots=True)
class State:
    """Where a bisection stands: the commit to judge next, or what it came to. ``steps`` are about so many more."""

    next: str = ""
    steps: int = 0
    left: int = 0
    culprit: str = ""
    #: All that could be the culprit, where only untestable commits are left.
    suspects: tuple[str, ...] = ()


def common_folder(tree: Path) -> str:
    """What names the history of the user's ``tree``: its repository, where in that it is, and what is replaced there.

    Raises SpecError where there is none.
    """
    replaced = (f"{name} {instead}" for _, instead, name in usersgit.replaced(tree))
    return "\n".join([usersgit.repository(tree).lineage, *replaced])


def commit_of(tree: Path, revision: str) -> str:
    """The commit that ``revision`` means in the user's ``tree``. Raises SpecError where it means none."""
    found = usersgit.ask(tree, "rev-parse", "--quiet", "--verify", "--end-of-options", f"{revision}^{{commit}}")
    if found.status:
        shallow = usersgit.ask(tree, "rev-parse", "--is-shallow-repository").stdout.strip() == "true"
        fetch = ["git", "-C", str(tree), "fetch", *(["--unshallow"] if shallow else [])]
        what = "shallow clone" if shallow else "git tree"
        raise SpecError(f"the {what} {tree} has no commit {revision!r}", remedy=shlex.join(fetch))
    return found.stdout.strip()


class History:
    """The history of the user's ``tree``, and a bisection of it in ``folder``, which is ours."""

    def __init__(self, tree: Path, folder: Path, terms: Terms = BREAK) -> None:
        self.folder = folder
        self.terms = terms
        repository = usersgit.repository(tree)
        if not (folder / "HEAD").exists():
            shutil.rmtree(folder, ignore_errors=True)
            words = ("init", "--quiet", "--bare", "--template=", f"--object-format={repository.ids}")
            proc.run([proc.need("git"), *words, folder], seconds=_SECONDS, env=clean_environment())
            (folder / "info").mkdir(exist_ok=True)
        (folder / "objects" / "info" / "alternates").write_text(f"{repository.objects}\n")
        (folder / "shallow").unlink(missing_ok=True)  # the user may have fetched what was missing
        shallow = Path(repository.common, "shallow")
        if shallow.is_file():
            shutil.copyfile(shallow, folder / "shallow")
        for old in self.git("for-each-ref", "--format=%(refname)", "refs/replace").stdout.split():
            self.git("update-ref", "-d", old)
        for _, instead, name in usersgit.replaced(tree):
            self.git("update-ref", name, instead)

    @property
    def shallow(self) -> frozenset[str]:
        """The commits whose parents a shallow clone lacks."""
        file = self.folder / "shallow"
        return frozenset(file.read_text().split()) if file.is_file() else frozenset()

    def cut(self, new: str, old: Sequence[str]) -> str:
        """A commit between these whose parents are missing; empty where there is none."""
        shallow = self.shallow
        enclosed = self.git("rev-list", new, "--not", *old).stdout.split() if shallow else ()
        return next((commit for commit in enclosed if commit in shallow), "")

    def merge_bases(self, one: str, other: str) -> tuple[str, ...]:
        """The best commits that both revisions have; none where they have no commit in common. Raises InfraError."""
        done = self.git("merge-base", "--all", one, other, check=False)
        if done.status > 1:
            raise InfraError(f"the history cannot be read: {_said(done)}")
        return tuple(done.stdout.split())

    def start(self, new: str, old: Sequence[str]) -> State:
        """Begin again, whatever there was. Raises SpecError where these revisions enclose nothing."""
        for left in self.folder.glob("BISECT_*"):
            left.unlink()
        for line in self.git("for-each-ref", "--format=%(refname)", "refs/bisect").stdout.split():
            self.git("update-ref", "-d", line)
        (self.folder / "HEAD").write_text(f"{new}\n")  # git wants to know where to come back to
        ours = () if self.terms is BREAK else ("--term-old", self.terms.git_old, "--term-new", self.terms.git_new)
        done = self.git("bisect", "start", *ours, "--no-checkout", new, *old, check=False)
        if done.status:
            raise SpecError(f"git cannot bisect this: {_said(done)}", remedy="name other commits")
        return self._state()

    def answer(self, kind: Kind, commit: str) -> State:
        """Tell git what ``commit`` is. Raises SpecError where that cannot be in this history."""
        done = self.git("bisect", self.terms.git(kind), commit, check=False)
        if done.status not in (0, 2):  # 2: only commits that were skipped are left
            raise SpecError(f"git stops here: {_said(done)}", remedy="name other commits with --good and --bad")
        return self._state()

    def _state(self) -> State:
        log = (self.folder / "BISECT_LOG").read_text()
        if found := _FOUND.search(log):
            return State(culprit=found[1])
        if suspects := _SUSPECT.findall(log):
            return State(suspects=tuple(suspects))
        at = (self.folder / "BISECT_HEAD").read_text().strip()
        before = f"refs/bisect/{self.terms.git_old}-*"
        olds = self.git("for-each-ref", "--format=%(refname)", before).stdout.split()
        told = self.git("rev-list", "--bisect-vars", f"refs/bisect/{self.terms.git_new}", "--not", *olds).stdout
        numbers = dict(re.findall(r"^(bisect_\w+)='?(\d+)'?$", told, re.MULTILINE))
        return State(at, int(numbers.get("bisect_steps", 0)), int(numbers.get("bisect_all", 0)))

    def log(self) -> str:
        """The bisection so far as ``git bisect replay`` takes it in the user's tree, where it checks commits out."""
        return re.sub(
            r"^(git bisect start.*?) '--no-checkout'", r"\1", self.git("bisect", "log").stdout, flags=re.MULTILINE
        )

    def commit(self, commit: str) -> Commit:
        """What is known of a commit."""
        words = ("show", "--no-patch", "--no-show-signature", "--format=%H%x00%P%x00%an <%ae>%x00%ad%x00%s", commit)
        id_, parents, author, date, subject = self.git(*words).stdout.rstrip("\n").split("\0", 4)
        parent = parents.split()[:1] or [self.git("hash-object", "-t", "tree", "/dev/null").stdout.strip()]
        files = self.changes(parent[0], id_)
        return Commit(id_, subject, author, date, tuple(parents.split()), tuple(path for _, path in files))

    def short(self, commit: str) -> str:
        """A commit by its abbreviation and subject."""
        subject = self.git("show", "--no-patch", "--no-show-signature", "--format=%s", commit).stdout.strip()
        return str(Commit(commit, subject))

    def changes(self, old: str, new: str) -> list[tuple[str, str]]:
        """What differs from one commit to another: a letter (A, D, M, T) and a path for each file."""
        listed = self.git("diff-tree", "-r", "-z", "--no-renames", "--name-status", old, new).stdout.split("\0")
        return list(zip(listed[0::2], listed[1::2], strict=False))

    def patch(self, commit: str) -> str:
        """The commit as a patch that can be mailed."""
        return self.git("format-patch", "-1", "--stdout", "--no-signature", commit).stdout

    def git(self, *words: str, check: bool = True) -> proc.Completed:
        """Run git in our repository. Raises CommandError unless ``check`` is false."""
        plain = ["-c", "gc.auto=0", "-c", "maintenance.auto=false", "-c", "core.quotePath=false"]
        env = clean_environment(GIT_DIR=str(self.folder), GIT_PAGER="cat", GIT_NO_LAZY_FETCH="1")
        try:
            return proc.run([proc.need("git"), *plain, *words], seconds=_SECONDS, env=env, check=check)
        except proc.CommandError as error:
            if "unable to read" in error.completed.stderr or "bad object" in error.completed.stderr:
                raise InfraError(f"the history cannot be read: {_said(error.completed)}") from error
            raise


def _said(done: proc.Completed) -> str:
    lines = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
    return " ".join(lines[:3]) or f"status {done.status}"
