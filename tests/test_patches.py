# SPDX-License-Identifier: GPL-2.0-only
"""Patches: where they are read from, and how strictly they apply."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kfunctest import proc
from kfunctest.errors import SpecError
from kfunctest.kernels import patches, source
from kfunctest.kernels.source import Source
from tests import fakesource
from tests.building import needs
from tests.fakesource import commit, edit, git
from tests.mailing import attached

pytestmark = [needs("git"), pytest.mark.usefixtures("cache_here")]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A git tree: a base, and a series of two on it, of which the second needs the first."""
    tree = fakesource.write(tmp_path / "linux")
    commit(tree, "the base")
    git(tree, "tag", "base")
    edit(tree / "mm" / "memcontrol.c", "return 2", "return 22")
    edit(tree / "mm" / "vmscan.c", "return one()", "return 1")
    commit(tree, "mm: größer")
    edit(tree / "mm" / "memcontrol.c", "return 22", "return 222")
    commit(tree, "mm: the second")
    return tree


@pytest.fixture
def series(tree: Path, tmp_path: Path) -> Path:
    """That series in a folder, with a cover letter."""
    git(tree, "format-patch", "--quiet", "--cover-letter", "-o", tmp_path / "series", "base")
    return tmp_path / "series"


@pytest.fixture
def base(tree: Path) -> Source:
    """What the series is based on."""
    return source.resolve(f"{tree}@base")


def applied(base: Source, *paths: Path) -> str:
    """The tree that the patches in ``paths`` make of ``base``."""
    return patches.apply(base.store, base.tree, patches.read(paths))


def test_a_folder_makes_the_tree_that_the_commits_made(tree: Path, series: Path, base: Source) -> None:
    assert applied(base, series) == git(tree, "rev-parse", "HEAD^{tree}")
    read = patches.read([series])
    assert [patch.subject for patch in read] == ["mm: größer", "mm: the second"]
    said = git(tree, "show", "HEAD")
    identified = proc.run([proc.need("git"), "patch-id", "--stable"], seconds=60, stdin=said).stdout
    assert read[1].id == identified[:12]


def test_files_apply_in_the_order_given(tree: Path, series: Path, base: Source) -> None:
    first, second = sorted(series.glob("000[12]*"))
    assert applied(base, first, second) == git(tree, "rev-parse", "HEAD^{tree}")
    with pytest.raises(SpecError, match='the patch "mm: the second"'):
        applied(base, second, first)


def test_a_mailbox_is_a_series(tree: Path, base: Source, tmp_path: Path) -> None:
    box = tmp_path / "series.mbox"
    box.write_text(git(tree, "format-patch", "--stdout", "--cover-letter", "base") + "\n")
    assert applied(base, box) == git(tree, "rev-parse", "HEAD^{tree}")
    assert [patch.place for patch in patches.read([box])] == [f"{box}, mail 2", f"{box}, mail 3"]


def test_a_plain_diff_is_called_after_its_file(tree: Path, base: Source, tmp_path: Path) -> None:
    file = tmp_path / "all.diff"
    file.write_text(git(tree, "diff", "base", "HEAD") + "\n")
    assert applied(base, file) == git(tree, "rev-parse", "HEAD^{tree}")
    assert patches.read([file])[0].subject == "all.diff"


@pytest.mark.parametrize("subject", ["[PATCH v2 2/2] mm: two", "[RFC 02/2] mm: two", "[linux-mm] [PATCH] mm: two"])
def test_a_change_without_a_diff_is_not_passed_over(tree: Path, series: Path, tmp_path: Path, subject: str) -> None:
    first = next(series.glob("0001*")).read_bytes() + b"\n"
    lost = attached(subject, "mm-two.zip", "PK: packed")
    box = tmp_path / "thread.mbox"
    box.write_bytes(first + lost)
    said = f'the mail "mm: two" ({box}, mail 2) has no diff in it'
    with pytest.raises(SpecError, match=re.escape(said)):
        patches.read([box])
    next(series.glob("0002*")).write_bytes(lost)
    with pytest.raises(SpecError, match=re.escape(f'the mail "mm: two" ({series}/0002')):
        patches.read([series])


@pytest.mark.parametrize("subject", ["Re: [PATCH 1/2] mm: one", "[list] RE: [PATCH] mm", "[PATCH 0/2] mm", "thanks"])
def test_other_mails_are_passed_over(series: Path, tmp_path: Path, subject: str) -> None:
    box = tmp_path / "thread.mbox"
    box.write_bytes(
        attached(subject, "log.txt", "nothing")
        + b"".join(path.read_bytes() for path in sorted(series.glob("000[12]*")))
    )
    assert [patch.subject for patch in patches.read([box])] == ["mm: größer", "mm: the second"]


def test_the_first_mail_may_begin_with_its_head(tree: Path, base: Source, series: Path, tmp_path: Path) -> None:
    first, second = (file.read_bytes() for file in sorted(series.glob("000[12]*")))
    box = tmp_path / "two.mbox"
    box.write_bytes(first.partition(b"\n")[2] + b"\n" + second)
    assert applied(base, box) == git(tree, "rev-parse", "HEAD^{tree}")
    assert [patch.subject for patch in patches.read([box])] == ["mm: größer", "mm: the second"]


def test_patches_put_together_without_a_signature(tree: Path, base: Source, tmp_path: Path) -> None:
    """Between them is no empty line; both are named."""
    git(tree, "format-patch", "--quiet", "--no-signature", "-o", tmp_path / "bare", "base")
    box = tmp_path / "all.patch"
    box.write_bytes(b"".join(file.read_bytes().rstrip() + b"\n" for file in sorted((tmp_path / "bare").iterdir())))
    assert [patch.subject for patch in patches.read([box])] == ["mm: größer", "mm: the second"]
    assert applied(base, box) == git(tree, "rev-parse", "HEAD^{tree}")


def test_a_log_has_no_order(tree: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(git(tree, "log", "-p", "base.."))
    with pytest.raises(SpecError, match=r"several commits as git log prints them.*; .*git format-patch --stdout"):
        patches.read([log])
    log.write_text(git(tree, "show", "HEAD"))
    assert len(patches.read([log])) == 1


def test_a_plain_diff_has_an_id_too(tree: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text(f"--- a/mm/{name}\n+++ b/mm/{name}\n@@ -1 +1 @@\n-1\n+2\n")
    ids = {patch.id for patch in patches.read([tmp_path / "one", tmp_path / "two"])}
    assert len([each for each in ids if re.fullmatch("[0-9a-f]{12}", each)]) == 2


def test_how_a_diff_was_written_may_be_why_it_does_not_apply(tree: Path, base: Source, tmp_path: Path) -> None:
    file = tmp_path / "a.diff"
    file.write_bytes(git(tree, "diff", "base", "HEAD").encode().replace(b"\n", b"\r\n") + b"\r\n")
    with pytest.raises(SpecError, match=r"its lines end in CRLF; .*sed -i"):
        applied(base, file)
    bare = git(tree, "diff", "--no-prefix", "base", "HEAD") + "\n"
    for text in (bare, re.sub("(?m)^(?:diff|index) .*\n", "", bare)):
        file.write_text(text)
        with pytest.raises(SpecError, match=r"its paths lack the prefixes a/ and b/; .*--src-prefix=a/"):
            applied(base, file)
    (tree / "image").write_bytes(bytes(9))
    commit(tree)
    file.write_text(git(tree, "diff", "HEAD~1", "HEAD") + "\n")
    with pytest.raises(SpecError, match=r"it lacks the content of a binary file; .*git diff --binary"):
        applied(base, file)


def test_a_hunk_that_does_not_apply_is_named(tree: Path, series: Path, tmp_path: Path) -> None:
    git(tree, "checkout", "--quiet", "-b", "other", "base")
    edit(tree / "mm" / "vmscan.c", "scan", "skim")
    commit(tree)
    here = source.resolve(str(tree))
    with pytest.raises(SpecError) as raised:
        applied(here, series)
    first = next(series.glob("0001*"))
    assert raised.value.problem == (
        f'the patch "mm: größer" ({first}) does not apply: hunk 1 of 1 of mm/vmscan.c, at line 2'
    )
    assert raised.value.evidence.startswith("@@ -2,5 +2,5 @@")
    assert "-\treturn one();" in raised.value.evidence


def test_the_number_of_the_hunk(tree: Path, tmp_path: Path) -> None:
    (tree / "mm" / "long.c").write_text("".join(f"int n{number};\n" for number in range(60)))
    commit(tree)
    git(tree, "tag", "long")
    for number in (5, 30, 55):
        edit(tree / "mm" / "long.c", f"int n{number};", f"long n{number};")
    commit(tree)
    file = tmp_path / "three.diff"
    file.write_text(git(tree, "diff", "long", "HEAD") + "\n")
    git(tree, "checkout", "--quiet", "-b", "other", "long")
    edit(tree / "mm" / "long.c", "int n30;", "char n30;")
    commit(tree)
    with pytest.raises(SpecError, match=r"does not apply: hunk 2 of 3 of mm/long\.c, at line 28; rebase it"):
        applied(source.resolve(str(tree)), file)


def test_no_fuzz(tree: Path, series: Path) -> None:
    """patch(1) would take a hunk of whose context a line differs; lines that moved are the same lines."""
    git(tree, "checkout", "--quiet", "-b", "other", "base")
    edit(tree / "mm" / "memcontrol.c", "#include <all.h>", "/* moved */\n\n#include <all.h>")
    commit(tree)
    moved = source.resolve(str(tree))
    assert patches.apply(moved.store, moved.tree, patches.read([series])) != moved.tree
    edit(tree / "mm" / "memcontrol.c", "long two(void)", "long two(int argument)")
    commit(tree)
    with pytest.raises(SpecError, match=r"hunk 1 of 1 of mm/memcontrol\.c"):
        applied(source.resolve(str(tree)), series)


def test_a_file_that_the_source_lacks(tree: Path, series: Path) -> None:
    git(tree, "checkout", "--quiet", "-b", "other", "base")
    git(tree, "rm", "--quiet", "mm/vmscan.c")
    commit(tree)
    with pytest.raises(SpecError, match=r'"mm: größer" .* does not apply: mm/vmscan\.c: does not exist in index'):
        applied(source.resolve(str(tree)), series)


def test_a_file_that_the_source_has_already(tree: Path, tmp_path: Path, base: Source) -> None:
    file = tmp_path / "new.diff"
    file.write_text(
        "diff --git a/mm/vmscan.c b/mm/vmscan.c\nnew file mode 100644\n"
        "--- /dev/null\n+++ b/mm/vmscan.c\n@@ -0,0 +1 @@\n+x\n"
    )
    with pytest.raises(SpecError, match=r"does not apply: mm/vmscan\.c: already exists in index"):
        applied(base, file)


def test_a_damaged_patch(series: Path, base: Source) -> None:
    first = next(series.glob("0001*"))
    text = first.read_text()
    first.write_text(text[: text.index("\n-\treturn 2;")] + "\n")
    with pytest.raises(SpecError, match=r"does not apply: corrupt patch at line \d+; it was truncated or wrapped"):
        applied(base, series)


def test_nothing_to_apply(tmp_path: Path, series: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SpecError, match=r"the patch folder .*/empty holds no \*\.patch"):
        patches.read([tmp_path / "empty"])
    with pytest.raises(SpecError, match=r"the patch .*/nowhere does not exist"):
        patches.read([tmp_path / "nowhere"])
    cover = next(series.glob("0000*"))
    with pytest.raises(
        SpecError, match=r"0000-cover-letter\.patch holds a cover letter only, no patch; add the patches"
    ):
        patches.read([cover])
    only = tmp_path / "only"
    only.mkdir()
    cover.rename(only / cover.name)
    with pytest.raises(SpecError, match=r"/only holds a cover letter only, no patch"):
        patches.read([only])
    (tmp_path / "text").write_text("Dear list,\n")
    with pytest.raises(SpecError, match=r"/text holds no diff; pass a file that git format-patch"):
        patches.read([tmp_path / "text"])
    mail = tmp_path / "mail"
    mail.write_text("From: N <n@example.org>\nSubject: Re: [PATCH 1/2] a question\n\nWhy?\n")
    with pytest.raises(SpecError, match=r"/mail holds no diff"):
        patches.read([mail])
