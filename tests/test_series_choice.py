# SPDX-License-Identifier: GPL-2.0-only
"""Which mails of a thread are applied, and in which order."""

from __future__ import annotations

import gzip
import io
import re
import sys
from pathlib import Path

import pytest

from kfunctest import build_kernel
from kfunctest.bisect import __main__ as bisect
from kfunctest.errors import EXIT_USAGE, SpecError
from kfunctest.kernels import patches
from kfunctest.shell import GIT_ABORT as ABORT
from tests.building import needs
from tests.mailing import FROM, SentMail

pytestmark = needs("git")


def mail(subject: str, message_id: str = "", *references: str, name: str = "", text: str = "A reason.\n") -> SentMail:
    """A mail that makes the file ``name``, or one with a text alone."""
    diff = f"diff --git a/{name} b/{name}\nnew file mode 100644\n--- /dev/null\n+++ b/{name}\n@@ -0,0 +1 @@\n+int a;\n"
    return SentMail(subject, f"{text}---\n\n{diff if name else ''}-- \n2.39.5\n\n".encode(), message_id, references)


def thread(folder: Path, *mails: SentMail) -> Path:
    """A mailbox of these mails."""
    (folder / "thread").write_bytes(b"".join(FROM + each.written() + b"\n" for each in mails))
    return folder / "thread"


def titles(*named: Path) -> list[str]:
    """The titles of what is applied, in order."""
    return [patch.subject for patch in patches.read(named)]


A, B, C = (mail(f"[PATCH {n}/3] {title}", name=title) for n, title in enumerate("abc", start=1))
COVER = mail("[PATCH 0/3] all of it")


@pytest.mark.parametrize("subject", ["Re: [PATCH 2/3] b", "[list] AW: [PATCH 2/3] b", "RE[2]: b"])
def test_a_diff_in_an_answer_is_a_proposal(tmp_path: Path, capsys: pytest.CaptureFixture[str], subject: str) -> None:
    box = thread(tmp_path, A, B, mail(subject, name="rather"), C)
    assert titles(box) == ["a", "b", "c"]
    assert capsys.readouterr().err == f"{box}: answers passed over: 1\n"
    with pytest.raises(SpecError, match="holds no diff but in answers"):
        titles(thread(tmp_path, mail(subject, name="rather"), mail("Re: b", name="other")))


def test_an_answer_that_is_named_alone_is_applied(tmp_path: Path) -> None:
    assert titles(thread(tmp_path, mail("Re: [PATCH 2/3] b", name="rather"))) == ["b"]


def test_a_series_is_put_in_order(tmp_path: Path) -> None:
    assert titles(thread(tmp_path, C, COVER, A, B)) == ["a", "b", "c"]
    more = mail("[PATCH 4/3] d", name="d")
    assert titles(thread(tmp_path, more, C, A, B)) == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    "mails, said",
    [
        ((COVER, A, B), "1 of 3 is missing: 3/3"),
        ((COVER, C), "2 of 3 are missing: 1/3, 2/3"),
        ((A, C, mail("Re: [PATCH 2/3] b", name="b")), "1 of 3 is missing: 2/3"),
        ((A, B, C, mail("[PATCH v2 2/3] b", name="b")), "v2 of .* 2 of 3 are missing: 1/3, 3/3"),
        ((COVER, A, B, C, mail("[PATCH v2 0/3] all of it")), "v2 of .* 3 of 3 are missing"),
    ],
)
def test_a_series_with_a_gap_is_rejected(tmp_path: Path, mails: tuple[SentMail, ...], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        titles(thread(tmp_path, *mails))


def test_the_newest_version_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    newer = [mail("[PATCHv2 1/2] a", name="a"), mail("[RFC,v2,2/2] new", name="new")]
    box = thread(tmp_path, newer[1], COVER, A, B, C, newer[0])
    assert titles(box) == ["a (v2)", "new (v2)"]
    assert capsys.readouterr().err == f'{box}: v2 of "a" is taken, older versions are passed over\n'
    first, renamed = mail("[PATCH] a", "1@x", name="a"), mail("[PATCH v2] better", "2@x", "1@x", name="a")
    assert titles(thread(tmp_path, renamed, first)) == ["better (v2)"]
    third = mail("[PATCH V3] better", name="a")
    assert titles(thread(tmp_path, first, third, renamed)) == ["better (v3)"]


def test_one_patch_again_is_no_new_version_of_a_series(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match='holds v2 of "b" as a single patch, and an older version in a series'):
        titles(thread(tmp_path, A, B, C, mail("[PATCH v2] b", name="b")))


def test_the_release_in_a_tag_is_no_version(tmp_path: Path) -> None:
    assert titles(thread(tmp_path, mail("[PATCH v6.1 1/2] a", name="a"), mail("[PATCH 5.15/6.1 2/2] b", name="b"))) == [
        "a",
        "b",
    ]


def test_series_that_have_nothing_in_common_are_applied_one_after_another(tmp_path: Path) -> None:
    one = [mail(f"[PATCH {n}/2] one{n}", f"a{n}@x", *(["a1@x"] if n > 1 else []), name=f"a{n}") for n in (1, 2)]
    two = [mail(f"[PATCH {n}/2] two{n}", f"b{n}@x", *(["b1@x"] if n > 1 else []), name=f"b{n}") for n in (1, 2)]
    other = mail("[PATCH v4] alone", name="c")
    assert titles(thread(tmp_path, one[1], two[0], other, two[1], one[0])) == ["one1", "one2", "two1", "two2", "alone"]


def test_each_mail_counts_once(tmp_path: Path) -> None:
    copies = [
        mail(f"[PATCH {n}/2] {n}", f"{n}@x", name=str(n), text=f"Copy {copy}.\n") for n in (1, 2) for copy in "ab"
    ]
    assert titles(thread(tmp_path, *copies)) == ["1", "2"]
    assert titles(thread(tmp_path, A, B, C, A)) == ["a", "b", "c"]
    tabs = SentMail("[PATCH] a", copies[0].body.replace(b"int a", b"int\ta"), "1@x")
    for mails in ((A, B, C, mail("[PATCH 2/3] b", name="other")), (copies[0], copies[2], copies[3], tabs)):
        with pytest.raises(SpecError, match=r'two different mails are ".*" \(.*mail [12]; .*mail 4\)'):
            titles(thread(tmp_path, *mails))


def in_folder(folder: Path, **files: SentMail) -> Path:
    """A folder of mails, each in a file of this name."""
    for name, each in files.items():
        (folder / f"{name.replace('_', '-').lstrip('-')}.patch").write_bytes(each.written())
    return folder


def test_a_folder_of_format_patch_is_a_series(tmp_path: Path) -> None:
    assert titles(in_folder(tmp_path, _0001_a=A, _0003_c=C, _0002_b=B)) == ["a", "b", "c"]
    (tmp_path / "0002-b.patch").unlink()
    with pytest.raises(SpecError, match="1 of 3 is missing: 2/3"):
        titles(tmp_path)


def test_names_that_the_user_numbered_decide_in_natural_order(tmp_path: Path) -> None:
    assert titles(in_folder(tmp_path, _9_x=C, _10_y=A, _100_z=mail("mm: x", name="x"), _0_cover=COVER)) == [
        "c",
        "a",
        "mm: x",
    ]
    (tmp_path / "0-cover.patch").write_bytes(mail("[PATCH 2/3] b").written())
    with pytest.raises(SpecError, match=r'the mail "b" .* has no diff in it'):
        titles(tmp_path)


def test_a_quilt_series_is_obeyed(tmp_path: Path) -> None:
    in_folder(tmp_path, zz=A, aa=C, not_wanted=B)
    (tmp_path / "series").write_text("# those for 7.9\n\nzz.patch\naa.patch -p1 # the last\n#not-wanted.patch\n")
    assert titles(tmp_path) == ["a", "c"]


@pytest.mark.parametrize("line", ["a.patch -p0", "a.patch -R", "+guard a.patch", "a.patch #+stable"])
def test_what_is_not_understood_in_a_quilt_series_is_rejected(tmp_path: Path, line: str) -> None:
    in_folder(tmp_path, a=A)
    (tmp_path / "series").write_text(f"a.patch\n{line}\n")
    with pytest.raises(SpecError, match=f"series, line 2 has an option or a guard: {re.escape(line)}"):
        titles(tmp_path)


@pytest.mark.parametrize(
    "text, said", [("# a.patch\n", "/series lists no patch"), ("b.patch\n", "b.patch does not exist")]
)
def test_a_quilt_series_of_nothing_is_rejected(tmp_path: Path, text: str, said: str) -> None:
    (in_folder(tmp_path, a=A) / "series").write_text(text)
    with pytest.raises(SpecError, match=said):
        titles(tmp_path)


def test_a_maildir(tmp_path: Path) -> None:
    for place, each in (
        ("new/2.host", A),
        ("cur/10.host:2,S", mail("late", name="x")),
        ("cur/9.host:2,S", C),
        ("cur/1", B),
    ):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_bytes(each.written())
    (tmp_path / "cur" / ".hidden").touch()
    assert titles(tmp_path) == ["a", "b", "c", "late"]


def test_packed_by_gzip(tmp_path: Path) -> None:
    box = thread(tmp_path, A, B, C)
    whole = gzip.compress(box.read_bytes())
    box.write_bytes(whole)
    assert titles(box) == ["a", "b", "c"]
    box.write_bytes(whole[:-20])
    with pytest.raises(SpecError, match="/thread cannot be read: Compressed file ended"):
        titles(box)


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    """A series comes in by standard input."""
    content = b"".join(FROM + each.written() + b"\n" for each in (C, B, A))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


@pytest.mark.usefixtures("stdin")
def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [patch.subject for patch in patches.read(["-"])] == ["a", "b", "c"]
    with pytest.raises(SpecError, match="standard input holds no diff"):
        patches.read(["-"])
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(SpecError, match="standard input holds no diff"):
        patches.read(["-"])


@pytest.mark.usefixtures("stdin", "cache_here")
def test_each_command_reads_standard_input(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Once: where it is named again there is nothing left of it."""
    said = "standard input holds no diff"
    twice = ["--patch", "-", "--patch", "-"]
    assert build_kernel.main([str(tree), *twice]) == EXIT_USAGE
    assert said in capsys.readouterr().err
    ends = ["--good", "HEAD", "--bad", "HEAD"]
    for words in ([*ends], ["series", "--base", "HEAD"], ["step"]):
        assert bisect.main([*words, "--tree", str(tree), *twice]) == ABORT + EXIT_USAGE
        assert said in capsys.readouterr().err


def test_an_answer_with_another_subject(tmp_path: Path) -> None:
    """It has no tags where the others have; where none has any it is a part."""
    one, two = mail("[PATCH 1/2] a", "1@x", name="a"), mail("[PATCH 2/2] b", "2@x", "1@x", name="b")
    assert titles(thread(tmp_path, one, mail("rather so", "3@x", "1@x", "2@x", name="x"), two)) == ["a", "b"]
    assert titles(thread(tmp_path, mail("a", "1@x", name="a"), mail("b", "2@x", "1@x", name="b"))) == ["a", "b"]
