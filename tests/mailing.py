# SPDX-License-Identifier: GPL-2.0-only
"""Patches as mail carries them, and what git am makes of them: the oracle for what we do."""

from __future__ import annotations

import base64
import os
import quopri
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

from kfunctest import proc
from kfunctest.errors import SpecError
from kfunctest.kernels import patches
from kfunctest.kernels.gitstore import Store

#: What a mailbox has before each mail.
FROM = b"From n@example.org Tue Feb  3 10:11:12 2026\n"
DATE = "Tue, 3 Feb 2026 10:11:12 +0000"


@dataclass(frozen=True, slots=True)
class GitAm:
    """git am in a repository of its own, which shares the objects of ``tree``'s."""

    work: Path

    @classmethod
    def make(cls, tree: Path, work: Path) -> GitAm:
        """Clone ``tree`` to ``work``."""
        _git(tree, "clone", "--quiet", "--shared", "--no-checkout", ".", str(work))
        return cls(work)

    def tree(self, base: str, files: Sequence[Path]) -> str | None:
        """The tree that the mails in ``files`` make of the revision ``base``; None where git am rejects one."""
        _git(self.work, "checkout", "--quiet", "--force", "--detach", base)
        return self._tree() if self._takes(*files) else None

    def tree_with_dos_files(self, base: str, files: Sequence[Path]) -> str | None:
        """The same, with ``--keep-cr`` for each mail that is rejected without."""
        _git(self.work, "checkout", "--quiet", "--force", "--detach", base)
        return self._tree() if all(self._takes(file) or self._takes("--keep-cr", file) for file in files) else None

    def _takes(self, *words: str | Path) -> bool:
        if not _git(self.work, "am", "--quiet", *words, check=False).status:
            return True
        _git(self.work, "am", "--abort", check=False)
        return False

    def _tree(self) -> str:
        return _git(self.work, "rev-parse", "HEAD^{tree}").stdout.strip()


def ours(store: Store, tree: str, *texts: str | Path) -> str | None:
    """The tree that we make of ``tree``; None where we reject what is to be applied."""
    try:
        return patches.apply(store, tree, patches.read(texts))
    except SpecError:
        return None


@dataclass(frozen=True, slots=True)
class SentMail:
    """A mail to be written: ``body`` is its text, with the diff; ``shape`` plain, inline, attached or flowed."""

    subject: str
    body: bytes
    message_id: str = ""
    references: tuple[str, ...] = ()
    encoding: str = "8bit"
    charset: str = "utf-8"
    shape: str = "plain"
    junk: tuple[str, ...] = ()
    crlf: bool = False
    dos_within: bool = False
    order: tuple[int, ...] = ()

    def written(self) -> bytes:
        """The mail as it is sent."""
        head = [f"Subject: {self.subject}", "From: N <n@example.org>", f"Date: {DATE}", "To: list@example.org"]
        if self.message_id:
            head.append(f"Message-ID: <{self.message_id}>")
        if self.references:
            head.append("References: " + "\n ".join(f"<{each}>" for each in self.references))
        kind = f"text/plain; charset={self.charset}" + ("; format=flowed" if self.shape == "flowed" else "")
        text = [f"Content-Type: {kind}", f"Content-Transfer-Encoding: {self.encoding}"]
        body = self._encoded(self.body)
        if self.shape in ("inline", "attachment"):
            boundary = "------------2.39.5"
            part = "\n".join([*text, f'Content-Disposition: {self.shape}; filename="0001-x.patch"'])
            body = f"--{boundary}\n{part}\n\n".encode() + body + f"\n--{boundary}--\n".encode()
            text = [f'Content-Type: multipart/mixed; boundary="{boundary}"']
        head += ["MIME-Version: 1.0", *text]
        head = [head[place] for place in self.order] + [line for n, line in enumerate(head) if n not in self.order]
        whole = "\n".join([*self.junk, *head, "", ""]).encode() + body
        return whole.replace(b"\n", b"\r\n") if self.crlf else whole

    def _encoded(self, body: bytes) -> bytes:
        if self.shape == "flowed":
            body = b"".join(b" " + line if line[:1] in b" >" else line for line in body.splitlines(keepends=True))
        if self.dos_within:
            body = body.replace(b"\n", b"\r\n")
        if self.encoding == "base64":
            return base64.encodebytes(body)
        return quopri.encodestring(body) if self.encoding == "quoted-printable" else body


def attached(subject: str, name: str, content: str) -> bytes:
    """A mail with a file attached as mail clients do that do not know what it is."""
    mail = EmailMessage()
    mail["From"], mail["Subject"], mail["Date"] = "N <n@example.org>", subject, DATE
    mail.set_content("See the file.\n")
    mail.add_attachment(content.encode(), maintype="application", subtype="octet-stream", filename=name)
    return b"From n@example.org Mon Sep 17 00:00:00 2001\n" + mail.as_bytes() + b"\n\n"


def _git(folder: Path, *words: str | Path, check: bool = True) -> proc.Completed:
    env: dict[str, str | None] = {name: None for name in os.environ if name.startswith("GIT_")}
    env |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    user = ["-c", "user.name=N", "-c", "user.email=n@example.org", "-c", "advice.detachedHead=false", "-c", "gc.auto=0"]
    user += ["-c", "core.fsync=none"]
    return proc.run([proc.need("git"), *user, "-C", folder, *words], seconds=60, env=env, check=check)
