# SPDX-License-Identifier: GPL-2.0-only
"""Mail as it comes: decoded as git am does it, or rejected with the reason."""

from __future__ import annotations

import base64
import quopri
import re
from pathlib import Path

import pytest

from kfunctest.errors import SpecError
from kfunctest.kernels import mbox, patches, source
from kfunctest.kernels.source import Source
from tests.building import needs
from tests.fakesource import commit, edit, git
from tests.mailing import DATE, FROM, GitAm, SentMail, attached, ours

pytestmark = [needs("git"), pytest.mark.usefixtures("cache_here")]


@pytest.fixture
def tree(tree: Path) -> Path:
    """A base, and a commit on it."""
    git(tree, "tag", "base")
    edit(tree / "mm" / "memcontrol.c", "return 2", "return 22")
    commit(tree, "mm: the first")
    return tree


@pytest.fixture
def base(tree: Path) -> Source:
    """What the commit is based on."""
    return source.resolve(f"{tree}@base")


@pytest.fixture
def am(tree: Path, tmp_path: Path) -> GitAm:
    """Git am beside it."""
    return GitAm.make(tree, tmp_path / "am")


def written(path: Path, content: bytes) -> Path:
    """The file, with this content."""
    path.write_bytes(content)
    return path


def body(tree: Path, text: str = "A change.\n") -> bytes:
    """The commit as a mail has it."""
    return f"{text}---\n\n{git(tree, 'diff', 'base', 'HEAD')}\n-- \n2.39\n\n".encode()


DOS_BASE64 = (b"\r\n", "base64")


@pytest.mark.parametrize("encoding", ["quoted-printable", "base64", "8bit"])
@pytest.mark.parametrize("charset", ["utf-8", "iso-8859-1"])
@pytest.mark.parametrize("ends", [b"\n", b"\r\n"], ids=["lf", "crlf"])
def test_mail_is_decoded(
    tree: Path, base: Source, am: GitAm, tmp_path: Path, encoding: str, charset: str, ends: bytes
) -> None:
    """What a mail client or a list's archive makes of a patch with a comment in German."""
    edit(tree / "mm" / "memcontrol.c", "long three", "/* größer = more */\nlong three")
    commit(tree)
    body = f"A change.\n\n{git(tree, 'diff', 'base', 'HEAD')}\n-- \n2.39\n".encode(charset).replace(b"\n", ends)
    wire = {"quoted-printable": quopri.encodestring, "base64": base64.encodebytes}.get(encoding, bytes)(body)
    head = "From: N <n@example.org>\nDate: Tue, 3 Feb 2026 10:11:12 +0000\n"
    head += "Subject: =?utf-8?q?=5BPATCH_v2_1/1=5D_mm=3A_gr=C3=B6?=\n =?utf-8?q?=C3=9Fer?=\n"
    head += f"MIME-Version: 1.0\nContent-Type: text/plain; charset={charset}\nContent-Transfer-Encoding: {encoding}\n\n"
    file = tmp_path / "mail.eml"
    file.write_bytes(head.encode().replace(b"\n", ends) + wire)
    (patch,) = patches.read([file])
    assert patch.subject == "mm: größer"
    expected = am.tree("base", [file])
    # git keeps a charset as it is, and what ends the lines within an encoding.
    assert (expected == git(tree, "rev-parse", "HEAD^{tree}")) == (
        charset == "utf-8" and (ends, encoding) != DOS_BASE64
    )
    assert ours(base.store, base.tree, file) == expected


def test_a_diff_may_be_attached(tree: Path, base: Source, tmp_path: Path) -> None:
    edit(tree / "mm" / "memcontrol.c", "return 22", "return 222")
    commit(tree, "mm: the second")
    first, second = (git(tree, "diff", *ends) + "\n" for ends in (("base", "HEAD~1"), ("HEAD~1", "HEAD")))
    box = tmp_path / "thread.mbox"
    box.write_bytes(
        attached("[PATCH 1/2] mm: one", "a.DIFF", first) + attached("[PATCH 2/2] mm: two", "b.patch", second)
    )
    assert ours(base.store, base.tree, box) == git(tree, "rev-parse", "HEAD^{tree}")
    assert [patch.subject for patch in patches.read([box])] == ["mm: one", "mm: two"]


def test_a_series_may_be_attached_to_one_mail(tree: Path, base: Source, tmp_path: Path) -> None:
    mail = tmp_path / "mail.eml"
    mail.write_bytes(attached("please test", "all.mbox", git(tree, "format-patch", "--stdout", "base") + "\n"))
    assert ours(base.store, base.tree, mail) == git(tree, "rev-parse", "HEAD^{tree}")
    assert [patch.subject for patch in patches.read([mail])] == ["please test"], "git am makes one commit of it"


def test_a_patch_may_be_attached_in_plain_text(tree: Path, base: Source, am: GitAm, tmp_path: Path) -> None:
    """Its first line is one that a mail in a mailbox begins with."""
    part = git(tree, "format-patch", "--stdout", "base").encode() + b"\n"
    plain = SentMail("[PATCH] mm: the first", part, encoding="7bit", shape="attachment").written()
    answer = SentMail("Re: [PATCH] mm: the first", b"Rather:\n\n" + body(tree).replace(b"22", b"23")).written()
    mail = written(tmp_path / "mail.eml", plain)
    box = written(tmp_path / "box", FROM + plain + b"\n" + FROM + answer + b"\n")
    assert am.tree("base", [mail]) == git(tree, "rev-parse", "HEAD^{tree}")
    for file in (mail, box):
        assert ours(base.store, base.tree, file) == am.tree("base", [mail])
    # Without its end it would go on into the answer.
    truncated = plain[: plain.rindex(b"\n--")] + b"\n"
    written(box, FROM + truncated + FROM + answer)
    assert len(mbox.read(box.read_bytes(), "box")) == 3


def test_what_only_looks_like_the_begin_of_a_mail(tree: Path, base: Source, tmp_path: Path) -> None:
    text = "A reason.\n\nFrom n@example.org Mon Sep 17 00:00:00 2001\nFrom lspci: 0000:00:1f.3 it is\n\nEnd.\n"
    box = written(tmp_path / "box", FROM + SentMail("[PATCH] mm: the first", body(tree, text)).written())
    assert [patch.place for patch in patches.read([box])] == [str(box)]
    assert ours(base.store, base.tree, box) == git(tree, "rev-parse", "HEAD^{tree}")


def test_settings_of_the_users_git_do_not_matter(
    tree: Path, base: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "Hello,\n\n-- >8 --\nSubject: [PATCH] another title\n\nA change.\n"
    mail = written(tmp_path / "mail", SentMail("[PATCH] mm: the first", body(tree, text)).written())
    settings = written(tmp_path / "gitconfig", b"[mailinfo]\n\tscissors = true\n[am]\n\tkeepcr = true\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    assert [patch.subject for patch in patches.read([mail])] == ["mm: the first"]


def test_dos_files_are_patched(tree: Path, base: Source, am: GitAm, tmp_path: Path) -> None:
    """As git am --keep-cr does it, which alone takes them; what can be applied without is applied without."""
    written(tree / "dos.txt", b"a\r\nb\r\n")
    git(tree, "checkout", "--quiet", "base")
    commit(tree, "base")
    git(tree, "tag", "--force", "base")
    here = source.resolve(str(tree))
    written(tree / "dos.txt", b"a\r\nB\r\n")
    commit(tree, "dos")
    diff = b"diff --git a/dos.txt b/dos.txt\n--- a/dos.txt\n+++ b/dos.txt\n@@ -1,2 +1,2 @@\n a\r\n-b\r\n+B\r\n"
    mail = written(tmp_path / "mail", SentMail("[PATCH] dos", b"---\n" + diff + b"-- \n2\n").written())
    assert ours(here.store, here.tree, mail) == git(tree, "rev-parse", "HEAD^{tree}")
    new = b"diff --git a/new b/new\nnew file mode 100644\n--- /dev/null\n+++ b/new\n@@ -0,0 +1 @@\n+a\r\n"
    written(mail, SentMail("[PATCH] new", b"---\n" + new + b"-- \n2\n").written())
    assert ours(here.store, here.tree, mail) == am.tree(git(tree, "rev-parse", "base"), [mail])


def test_a_byte_order_mark_is_no_text(tree: Path, base: Source, tmp_path: Path) -> None:
    for content in (body(tree)[body(tree).index(b"diff") :], SentMail("[PATCH] x", body(tree)).written()):
        file = written(tmp_path / "file", b"\xef\xbb\xbf" + content)
        assert ours(base.store, base.tree, file) == git(tree, "rev-parse", "HEAD^{tree}")


def without_parts(tree: Path) -> bytes:
    """A mail as patchwork saves it where it was signed: the text of its first part below the whole's header."""
    head = f'Content-Type: multipart/signed; protocol="application/pgp-signature"; boundary="=_b1"\nDate: {DATE}\n'
    return head.encode() + b"From: N <n@example.org>\nSubject: [PATCH] mm: x\n\n" + body(tree)


def test_the_reason_is_named_where_a_mail_is_rejected(tree: Path, base: Source, am: GitAm, tmp_path: Path) -> None:
    flowed = SentMail("[PATCH] x", body(tree), shape="flowed").written()  # an empty line of context is a break there
    for content, said in (
        (without_parts(tree), r"has no diff in it; its header says multipart/signed, its body has no parts"),
        (flowed, r"does not apply: .*; it was sent as format=flowed"),
        (
            SentMail("[PATCH] x", body(tree), charset="x-unknown").written(),
            r"has no diff in it; .*convert from x-unknown",
        ),
        (SentMail("x", body(tree), charset="x-unknown").written(), r"has no diff in it; .*convert from x-unknown"),
        (
            SentMail("[PATCH] x", body(tree), encoding="base64", dos_within=True).written(),
            r"does not apply: .*its lines end in CRLF; .*git mailinfo --quoted-cr=strip",
        ),
    ):
        file = written(tmp_path / "mail", content)
        assert am.tree("base", [file]) is None, said
        with pytest.raises(SpecError, match=said + r"[^\n]*\Z"):
            patches.apply(base.store, base.tree, patches.read([file]))


def test_a_base_that_is_not_the_source_is_said(
    tree: Path, base: Source, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for cover in ([], ["--cover-letter"]):
        git(tree, "format-patch", "--quiet", "--base=base", *cover, "-o", tmp_path / "series", "base")
        series = patches.read([tmp_path / "series"])
        patches.compare_base(base, series)
        assert capsys.readouterr().err == ""
        patches.compare_base(source.resolve(f"{tree}@HEAD"), series)
        commit_ = git(tree, "rev-parse", "base")
        said = re.escape(f"the patches name the base-commit {commit_[:12]}; the source is {tree} at ")
        assert re.match(said, capsys.readouterr().err)
