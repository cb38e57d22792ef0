# SPDX-License-Identifier: GPL-2.0-only
"""Patches: read from files, folders and mailboxes, and applied in order, strictly, to a tree of the git store."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kfunctest import cache, proc
from kfunctest.errors import SpecError
from kfunctest.kernels import letters
from kfunctest.kernels.gitstore import Store, clean_environment

_SECONDS: Final = 300.0
_HUNK: Final = re.compile(r"^@@ -(\d+)(?:,\d+)? \+\d+(?:,\d+)? @@.*$", re.MULTILINE)

#: Old and new name are the same only where neither has a prefix: git diff --no-prefix.
_BARE_NAMES: Final = re.compile(rb"^(?:diff --git (\S+) \1|--- (\S+)(?:\t.*)?\n\+\+\+ \2(?:\t.*)?)$", re.MULTILINE)
_NO_CONTENT: Final = re.compile(rb"^Binary files .* differ$", re.MULTILINE)
#: A commit as git log -p and git show begin it.
_LOGGED: Final = re.compile(rb"^commit [0-9a-f]{40,64}\b.*\n(?:Merge: .*\n)?Author: ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Patch:
    """One change. ``place`` says where it was read, ``id`` is git's stable patch id, of 12 digits.

    A plain diff, of which git knows no id, has a digest of its text in its place.
    """

    subject: str
    id: str
    place: str
    diff: bytes


def read(paths: Sequence[Path]) -> tuple[Patch, ...]:
    """The patches in files, folders (their ``*.patch``, sorted) and mailboxes, in this order.

    Cover letters and answers are passed over in folders and mailboxes. Raises SpecError where there is nothing to
    apply, and where a letter has no diff whose subject says that it is a change.
    """
    return tuple(patch for path in paths for patch in _in(path))


def apply(store: Store, tree: str, patches: Sequence[Patch]) -> str:
    """The tree that ``patches`` make of ``tree``. Raises SpecError: which patch, file and hunk does not apply."""
    if not patches:
        return tree
    with store.index("patches") as index:
        store.git("read-tree", tree, env=index)
        for patch in patches:
            # No fuzz: git apply takes a hunk elsewhere only if all of its context is there.
            argv = ("apply", "--cached", "--whitespace=nowarn", "-")
            done = store.git(*argv, env=index, stdin=patch.diff, check=False)
            if done.status:
                if proc.out_of_space(done.stderr):
                    raise cache.no_space()
                raise _refused(patch, done.stderr)
        return store.git("write-tree", env=index).stdout.strip()


def _in(path: Path) -> list[Patch]:
    try:
        if path.is_dir():
            files = sorted(path.glob("*.patch"))
            if not files:
                raise SpecError(f"the patch folder {path} holds no *.patch")
            found = [patch for file in files for patch in _in_file(file, file.read_bytes(), among_others=True)]
        else:
            found = list(_in_file(path, path.read_bytes(), among_others=False))
    except FileNotFoundError:
        raise SpecError(f"the patch {path} does not exist") from None
    except OSError as error:
        raise SpecError(f"the patch {path} cannot be read: {error.strerror}") from error
    if not found:
        raise SpecError(f"{path} holds a cover letter only, no patch", remedy="add the patches that it introduces")
    return found


def _in_file(path: Path, content: bytes, *, among_others: bool) -> Iterator[Patch]:
    if not letters.is_mail(content):
        if not letters.DIFF.search(content):
            raise _no_diff(path)
        if len(_LOGGED.findall(content)) > 1:
            raise SpecError(
                f"{path} holds several commits as git log prints them, and nothing says which is the first",
                remedy="write them with git format-patch --stdout",
            )
        yield _patch(path.name, str(path), content)
        return
    box = letters.split(content)
    for number, part in enumerate(box, start=1):
        place = f"{path}, letter {number}" if len(box) > 1 else str(path)
        for letter in letters.read(part):
            if letter.diff is not None:
                yield _patch(letter.title, place, letter.diff)
            elif letter.lacks_its_diff:
                raise SpecError(
                    f'the letter "{letter.subject}" ({place}) has no diff in it, nor a *.patch or *.diff attached',
                    remedy="put its change there, or take the letter out",
                )
            elif not among_others and len(box) == 1 and not letter.is_cover:
                raise _no_diff(path)


def _no_diff(path: Path) -> SpecError:
    return SpecError(f"{path} holds no diff", remedy="pass a file that git format-patch or git diff wrote")


def _patch(subject: str, place: str, diff: bytes) -> Patch:
    argv = [proc.need("git"), "patch-id", "--stable"]
    done = proc.run(argv, seconds=_SECONDS, env=clean_environment(GIT_DIR=os.devnull), stdin=diff)
    return Patch(subject, done.stdout[:12] or cache.digest(diff)[:12], place, diff)


def _refused(patch: Patch, said: str) -> SpecError:
    """What git apply said about ``patch``, as one line with file and hunk; the hunk itself is the evidence."""
    errors = [line.removeprefix("error: ") for line in said.splitlines() if line.startswith("error: ")]
    what = f'the patch "{patch.subject}" ({patch.place}) does not apply'
    remedy = _remedy(patch.diff)
    failed = re.search(r"^error: patch failed: (.+):(\d+)$", said, re.MULTILINE)
    if failed is None:
        return SpecError(f"{what}: {errors[0] if errors else said.strip()}", remedy=remedy)
    number, count, text = _hunk(patch.diff.decode(errors="replace"), failed[1], int(failed[2]))
    where = f"hunk {number} of {count} of {failed[1]}, at line {failed[2]}" if number else f"{failed[1]}:{failed[2]}"
    return SpecError(f"{what}: {where}", remedy=remedy, evidence=text)


def _remedy(diff: bytes) -> str:
    """What to do about a diff that does not apply: how it was written may be the reason."""
    if diff.count(b"\n") == diff.count(b"\r\n"):
        return r"its lines end as DOS's do; take that away: sed -i 's/\r$//' FILE"
    if _BARE_NAMES.search(diff):
        return "its names lack a/ and b/; write it with git diff --src-prefix=a/ --dst-prefix=b/"
    if _NO_CONTENT.search(diff):
        return "it lacks what is in a binary file; write it with git diff --binary"
    return "rebase it onto this source"


def _hunk(diff: str, file: str, line: int) -> tuple[int, int, str]:
    """Of the hunks of ``file``: the number of the one that begins at ``line``, how many there are, and its text."""
    for part in re.split(r"^(?=diff --git )", diff, flags=re.MULTILINE):
        if re.search(rf"^(?:---|\+\+\+) [ab]/{re.escape(file)}\s*$", part, re.MULTILINE):
            hunks = list(_HUNK.finditer(part))
            for number, hunk in enumerate(hunks):
                if int(hunk[1]) == line:
                    end = hunks[number + 1].start() if number + 1 < len(hunks) else len(part)
                    return number + 1, len(hunks), part[hunk.start() : end].rstrip()
    return 0, 0, ""
