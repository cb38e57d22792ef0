# SPDX-License-Identifier: GPL-2.0-only
"""Mail: split and decoded by git as ``git am`` has it done, and what its headers say of a series."""

from __future__ import annotations

import email.policy
import re
from dataclasses import dataclass
from email.errors import CloseBoundaryNotFoundDefect, MessageDefect, StartBoundaryNotFoundDefect
from email.headerregistry import HeaderRegistry
from email.message import EmailMessage
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from kfunctest import cache
from kfunctest.kernels import gitstore

#: Each header as text: the parsers of addresses and ids give up on some that are sent.
_POLICY: Final = email.policy.default.clone(header_factory=HeaderRegistry(use_default_map=False))
#: Tags, and whether it is an answer; in the tags, as in [RFC PATCH v2 1/3], [PATCHv2] and [v2,1/3], version and part.
_SUBJECT: Final = re.compile(r"((?:\s*\[[^]]*\])*)\s*((?:re|aw|antw|sv)(?:\[\d+\])?\s*:)?", re.IGNORECASE)
_VERSION: Final = re.compile(r"(?:\b|PATCH|RFC)v(\d+)(?![\d.])", re.IGNORECASE)
_PART: Final = re.compile(r"(?<![\d.])(\d+)/(\d+)(?![\d.])")
_BASE: Final = re.compile(r"^base-commit: ([0-9a-f]{40,64})$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail, or a plain diff, called after its file. ``place`` is where it was read, ``fault`` what made it unfit.

    ``id`` is git's stable patch id, of 12 digits, or a digest of a diff without one; empty where there is no ``diff``.
    ``part`` is its number in a series, 0 for the cover letter, and of how many: 0 where its tags say PATCH alone.
    ``ids`` are the Message-IDs of what it answers, the oldest first, and ``message_id`` its own.
    """

    subject: str
    id: str
    place: str
    diff: bytes
    diff_with_cr: bytes = b""
    answer: bool = False
    version: int = 1
    part: tuple[int, int] | None = None
    message_id: str = ""
    ids: tuple[str, ...] = ()
    base: str = ""
    fault: str = ""

    @property
    def digest(self) -> str:
        """What tells it from any other change: its id leaves blanks and line numbers out."""
        return cache.digest(self.diff, self.diff_with_cr)


def read(text: bytes, place: str) -> list[Mail]:
    """The mails of a mailbox, whose first may lack the line that the others begin with; none in any other text."""
    mails = _split(text) if "From" in _parsed(text) else []
    return [_decoded(each, f"{place}, mail {n}" if mails[1:] else place) for n, each in enumerate(mails, start=1)]


def _split(text: bytes) -> list[bytes]:
    """Split as git does, but for lines that only look like the first of a mail.

    No header follows those in a commit's message; others are in a patch that is attached to a mail unencoded.
    """
    first = b"" if text.startswith(b"From ") else b"From mail Mon Sep 17 00:00:00 2001\n"
    with TemporaryDirectory(prefix="kfunctest-mail-") as folder:
        gitstore.outside("mailsplit", "--keep-cr", f"-o{folder}", stdin=first + text)
        pieces = [path.read_bytes() for path in sorted(Path(folder).iterdir())]
    mails = pieces[:1]
    for number, piece in enumerate(pieces[1:], start=1):
        unended = _defective(_parsed(mails[-1]), CloseBoundaryNotFoundDefect)
        ends = any(f"\n--{part.get_boundary()}--".encode() in b"".join(pieces[number:]) for part in unended)
        if ends or "From" not in _parsed(piece):
            mails[-1] += piece
        else:
            mails.append(piece)
    return mails


def _parsed(text: bytes) -> EmailMessage:
    return email.message_from_bytes(text, policy=_POLICY)


def _defective(mail: EmailMessage, kind: type[MessageDefect]) -> list[EmailMessage]:
    return [part for part in mail.walk() if any(isinstance(defect, kind) for defect in part.defects)]


def _decoded(content: bytes, place: str) -> Mail:
    plain = content.replace(b"\r\n", b"\n")
    told, failed, text, diff = _mailinfo(plain)
    # A carriage return at the end of some lines only is not transport's, though git am takes those off first, too.
    kept = _mailinfo(content)[3] if content.count(b"\n") != content.count(b"\r\n") > 0 else b""
    head = _parsed(plain)
    subject = " ".join(str(head.get("Subject", "")).split())
    tags, answer = _SUBJECT.findall(subject)[0]
    part, base, id_ = _PART.search(tags), _BASE.search((text + diff).decode(errors="replace")), gitstore.patch_id(diff)
    ids = [re.findall(r"<[^<>\s]+>", str(head.get(name, ""))) for name in ("Message-ID", "References", "In-Reply-To")]
    return Mail(
        subject=next(
            (line[9:] for line in told.splitlines() if line.startswith("Subject: ")), subject or "(no subject)"
        ),
        id=id_,
        place=place,
        diff=diff if id_ else b"",
        diff_with_cr=kept,
        answer=bool(answer),
        version=max(map(int, _VERSION.findall(tags)), default=1),
        part=(int(part[1]), int(part[2])) if part else (1, 0) if failed or "PATCH" in tags.upper() else None,
        message_id="".join(ids[0][:1]),
        ids=(*ids[1], *ids[2]),
        base=base[1] if base else "",
        fault=failed or _fault(head),
    )


def _mailinfo(content: bytes) -> tuple[str, str, bytes, bytes]:
    with TemporaryDirectory(prefix="kfunctest-mail-") as folder:
        text, patch = Path(folder, "text"), Path(folder, "patch")
        done = gitstore.outside("mailinfo", text, patch, stdin=content, check=False)
        if done.status:
            said = done.stderr.partition("\n")[0].removeprefix("error: ")
            return "", f"git mailinfo cannot read it: {said}", b"", b""
        return done.stdout, "", text.read_bytes(), patch.read_bytes()


def _fault(mail: EmailMessage) -> str:
    if _defective(mail, StartBoundaryNotFoundDefect):
        kind = mail.get_content_type()
        return f"its header says {kind}, its body has no parts, as patchwork saves it; take the mail as it was sent"
    if any(str(part.get_param("format", "")).lower() == "flowed" for part in mail.walk()):
        return "it was sent as format=flowed, which changes blanks and lines; have it sent by git send-email"
    return ""
