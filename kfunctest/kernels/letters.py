# SPDX-License-Identifier: GPL-2.0-only
"""Letters: a mailbox in its parts, and the diffs in each, attached ones too."""

from __future__ import annotations

import email.policy
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from email.message import EmailMessage
from itertools import pairwise
from typing import Final

#: How a text with a diff in it is told from one without: git's own or a plain one.
DIFF: Final = re.compile(rb"^(?:diff --git |--- \S.*\n\+\+\+ )", re.MULTILINE)
_MAIL: Final = re.compile(rb"\A(?:From \S+ |(?:From|Subject|Date|Message-I[dD]|Return-Path|Delivered-To|Received): )")
#: The line before each letter of a mailbox, as git mailsplit knows it: after an empty line, with a time and a year.
#: That of git format-patch needs no empty line, which is missing where patches without a signature are put together.
_LETTER: Final = re.compile(
    rb"(?:\A|(?<=\n\n)|(?<=\r\n\r\n))From \S+.*\d:\d\d.*\d{4}.*$|^From [0-9a-f]{40,64} Mon Sep 17 00:00:00 2001\r?$",
    re.MULTILINE,
)
#: The subject of a letter that introduces a series, [PATCH v3 0/5], and of one that is a change: [PATCH], [RFC 2/5].
_COVER: Final = re.compile(r"\[[^\]]*\b0+/\d+[^\]]*\]")
_CHANGE: Final = re.compile(r"\[[^\]]*(?:\bPATCH\b|\b\d+/\d+)[^\]]*\]", re.IGNORECASE)
_ANSWER: Final = re.compile(r"\s*(?:\[[^\]]*\]\s*)*(?:re|aw|antw|sv)(?:\[\d+\])?\s*:", re.IGNORECASE)
_TAG: Final = re.compile(r"^(?:\s*\[[^\]]*\])+\s*")
_ATTACHED: Final = (".patch", ".diff", ".mbox")


@dataclass(frozen=True, slots=True)
class Letter:
    """One change, or a letter without any: then ``diff`` is None. The text around a diff is left in it."""

    subject: str
    diff: bytes | None

    @property
    def title(self) -> str:
        """The subject without what stands before it in brackets."""
        return _TAG.sub("", self.subject)

    @property
    def is_cover(self) -> bool:
        """Whether it introduces a series."""
        return _COVER.search(self.subject) is not None

    @property
    def lacks_its_diff(self) -> bool:
        """Whether its subject says that it is a change, and there is none."""
        if self.diff is not None or self.is_cover or _ANSWER.match(self.subject):
            return False
        return _CHANGE.search(self.subject) is not None


def is_mail(content: bytes) -> bool:
    """Whether the content of a file is a letter or a mailbox."""
    return _MAIL.match(content) is not None


def split(content: bytes) -> list[bytes]:
    """The letters of a mailbox, whose first may lack the line that the others begin with."""
    starts = [match.start() for match in _LETTER.finditer(content)]
    if not starts or content[: starts[0]].strip():
        starts = [0, *starts]
    return [content[start:end] for start, end in pairwise([*starts, len(content)])]


def read(content: bytes) -> list[Letter]:
    """What one letter holds: itself, and what is attached to it in files called ``*.patch``, ``*.diff``, ``*.mbox``."""
    message = email.message_from_bytes(content, policy=email.policy.default)
    subject = " ".join(str(message.get("Subject", "(no subject)")).split())
    attached = [letter for part in message.walk() if _is_attached(part) for letter in _attached(part, subject)]
    body = b"\n".join(_decoded(part) for part in message.walk() if _is_text(part))
    if DIFF.search(body):
        return [Letter(subject, body), *attached]
    return attached or [Letter(subject, None)]


def _is_attached(part: EmailMessage) -> bool:
    return not part.is_multipart() and (part.get_filename() or "").lower().endswith(_ATTACHED)


def _is_text(part: EmailMessage) -> bool:
    # What is in HTML stands before it in plain text, too, or is no patch.
    return part.get_content_maintype() == "text" and part.get_content_subtype() != "html" and not _is_attached(part)


def _attached(part: EmailMessage, subject: str) -> Iterator[Letter]:
    content = _decoded(part)
    if is_mail(content):
        for letter in split(content):
            yield from read(letter)
    elif DIFF.search(content):
        yield Letter(subject, content)


def _decoded(part: EmailMessage) -> bytes:
    """A part's content, without what mail did to it, text in UTF-8."""
    payload = part.get_payload(decode=True)
    raw = payload if isinstance(payload, bytes) else b""
    if raw.count(b"\n") == raw.count(b"\r\n"):
        raw = raw.replace(b"\r\n", b"\n")
    charset = (part.get_content_charset() or "utf-8").lower()
    if charset not in ("utf-8", "us-ascii"):
        with suppress(LookupError, UnicodeDecodeError):
            raw = raw.decode(charset).encode()
    return raw
