# SPDX-License-Identifier: GPL-2.0-only
"""Patches: read from files, folders and mailboxes, and applied in order, strictly, to a tree of the git store."""

from __future__ import annotations

import email.policy
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.message import EmailMessage
from itertools import pairwise
from pathlib import Path
from typing import Final

from kfunctest import cache, proc
from kfunctest.errors import SpecError
from kfunctest.kernels.gitstore import Store, clean_environment

_SECONDS: Final = 300.0
#: How a file with a diff in it is told from one without: git's own or a plain one.
_DIFF: Final = re.compile(rb"^(?:diff --git |--- \S.*\n\+\+\+ )", re.MULTILINE)
_MAIL: Final = re.compile(rb"\A(?:From \S+ |(?:From|Subject|Date|Message-I[dD]|Return-Path|Delivered-To|Received): )")
_HUNK: Final = re.compile(r"^@@ -(\d+)(?:,\d+)? \+\d+(?:,\d+)? @@.*$", re.MULTILINE)
#: The subject of a letter that introduces a series: [PATCH v3 0/5].
_COVER: Final = re.compile(r"\[[^\]]*\b0+/\d+[^\]]*\]")
_TAG: Final = re.compile(r"^(?:\s*\[[^\]]*\])+\s*")
#: The line before each letter of a mailbox, as git mailsplit knows it: with a time and a year.
_LETTER: Final = re.compile(rb"(?:\A|(?<=\n\n)|(?<=\r\n\r\n))From \S+.*\d:\d\d.*\d{4}.*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Patch:
    """One change. ``place`` says where it was read, ``id`` is git's stable patch id, of 12 digits."""

    subject: str
    id: str
    place: str
    diff: bytes


def read(paths: Sequence[Path]) -> tuple[Patch, ...]:
    """The patches in files, folders (their ``*.patch``, sorted) and mailboxes, in this order.

    Letters without a diff, as cover letters are, are passed over in folders and mailboxes.
    Raises SpecError where there is nothing to apply.
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
    if not _MAIL.match(content):
        if not _DIFF.search(content):
            raise _no_diff(path)
        yield _patch(path.name, str(path), content)
        return
    starts = [match.start() for match in _LETTER.finditer(content)] or [0]
    for number, (start, end) in enumerate(pairwise([*starts, len(content)]), start=1):
        letter = email.message_from_bytes(content[start:end], policy=email.policy.default)
        subject, body = _subject(letter), _body(letter)
        if _DIFF.search(body):
            yield _patch(_TAG.sub("", subject), f"{path}, letter {number}" if len(starts) > 1 else str(path), body)
        elif not among_others and len(starts) == 1 and not _COVER.search(subject):
            raise _no_diff(path)


def _subject(letter: EmailMessage) -> str:
    return " ".join(str(letter.get("Subject", "(no subject)")).split())


def _body(letter: EmailMessage) -> bytes:
    """The text of a letter, decoded from what mail did to it, in UTF-8."""
    parts = [part for part in letter.walk() if part.get_content_maintype() == "text"]
    bodies = []
    for part in parts:
        payload = part.get_payload(decode=True)
        raw = payload if isinstance(payload, bytes) else b""
        if raw.count(b"\n") == raw.count(b"\r\n"):
            raw = raw.replace(b"\r\n", b"\n")
        charset = (part.get_content_charset() or "utf-8").lower()
        if charset not in ("utf-8", "us-ascii"):
            with suppress(LookupError, UnicodeDecodeError):
                raw = raw.decode(charset).encode()
        bodies.append(raw)
    return b"\n".join(bodies)


def _no_diff(path: Path) -> SpecError:
    return SpecError(f"{path} holds no diff", remedy="pass a file that git format-patch or git diff wrote")


def _patch(subject: str, place: str, diff: bytes) -> Patch:
    argv = [proc.need("git"), "patch-id", "--stable"]
    done = proc.run(argv, seconds=_SECONDS, env=clean_environment(GIT_DIR=os.devnull), stdin=diff)
    return Patch(subject, done.stdout[:12], place, diff)


def _refused(patch: Patch, said: str) -> SpecError:
    """What git apply said about ``patch``, as one line with file and hunk; the hunk itself is the evidence."""
    errors = [line.removeprefix("error: ") for line in said.splitlines() if line.startswith("error: ")]
    what = f'the patch "{patch.subject}" ({patch.place}) does not apply'
    remedy = "rebase it onto this source"
    failed = re.search(r"^error: patch failed: (.+):(\d+)$", said, re.MULTILINE)
    if failed is None:
        return SpecError(f"{what}: {errors[0] if errors else said.strip()}", remedy=remedy)
    number, count, text = _hunk(patch.diff.decode(errors="replace"), failed[1], int(failed[2]))
    where = f"hunk {number} of {count} of {failed[1]}, at line {failed[2]}" if number else f"{failed[1]}:{failed[2]}"
    return SpecError(f"{what}: {where}", remedy=remedy, evidence=text)


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
