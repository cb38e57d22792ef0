# SPDX-License-Identifier: GPL-2.0-only
"""Whatever transport does to a series, its tree is that of git am; or both reject it.

``KFUNCTEST_MAILS=500`` tries that many, where 50 are the default. They are the same each time.
"""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir

from kfunctest import proc
from kfunctest.kernels import source
from kfunctest.kernels.source import Source
from tests import fakesource
from tests.building import needs
from tests.fakesource import commit, git
from tests.mailing import FROM, GitAm, SentMail, ours

pytestmark = needs("git")

EXAMPLES = int(os.environ.get("KFUNCTEST_MAILS", "50"))
LINES = [f"int line{number};\n" for number in range(12)]


def _replaced(name: str, old: bytes, new: bytes) -> Callable[[Path], None]:
    def change(tree: Path) -> None:
        content = (tree / name).read_bytes() if (tree / name).exists() else b""
        assert old in content
        (tree / name).write_bytes(content.replace(old, new))

    return change


def _moved(tree: Path) -> None:
    _replaced("moved.c", b"line3", b"line33")(tree)
    (tree / "moved.c").rename(tree / "mm" / "größe.c")


def _relinked(tree: Path) -> None:
    (tree / "link").unlink()
    (tree / "link").symlink_to("mm/fork.c")


#: Files beside those of the fake kernel.
BASE: Mapping[str, bytes] = {
    "chain.c": "".join(LINES).encode(),
    "latin.c": "/* größer */\nint a;\nint b;\n".encode("latin-1"),
    "utf8.c": "/* größer */\nint a;\nint b;\n".encode(),
    "dos.txt": b"a\r\nb\r\nc\r\n",
    "bare.c": b"int end;",
    "image.dat": bytes(range(40)),
    "gone.c": b"int gone;\n",
    "tool.sh": b"true\n",
    "moved.c": "".join(LINES).encode(),
    "blank.c": b"int a;\n\n int b;\n \n\tint c;\n",
}
#: Changes that do not depend on each other.
FREE: Mapping[str, Callable[[Path], None]] = {
    "latin": _replaced("latin.c", b"int a;", b"int a = 1;"),
    "utf8": _replaced("utf8.c", b"int b;", "int b; /* Maß = 3 € */".encode()),
    "dos": _replaced("dos.txt", b"b\r\n", b"B\r\n"),
    "bare": _replaced("bare.c", b"int end;", b"int end;\nint more;"),
    "binary": _replaced("image.dat", bytes([7, 8]), bytes([255, 0, 13, 10])),
    "gone": lambda tree: (tree / "gone.c").unlink(),
    "mode": lambda tree: (tree / "tool.sh").chmod(0o755),
    "moved": _moved,
    "link": _relinked,
    "empty": lambda tree: (tree / "empty").touch(),
    "new": _replaced("mm/a b.c", b"", b"From here on:\n-- \n---\nint new; = \n"),
    "blank": _replaced("blank.c", b"\tint c;\n", b"\tint c;  \n\n"),
}
#: Each needs the one before.
CHAIN = [
    _replaced("chain.c", LINES[5].encode(), "int fünf;\n".encode()),
    _replaced("chain.c", "fünf".encode(), "fünfte".encode()),
    _replaced("chain.c", "fünfte".encode(), b"fifth"),
]


@dataclass(frozen=True)
class Bench:
    """A base, the diffs of the changes to it, and the two that apply them."""

    base: Source = field(repr=False)
    diffs: Mapping[str, bytes] = field(repr=False)
    am: GitAm = field(repr=False)
    folder: Path


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Made once: what a test does with it is below ``folder``, and removed again."""
    folder = tmp_path_factory.mktemp("mail")
    set_hypothesis_home_dir(folder)  # else it is made in the checkout
    tree = fakesource.write(folder / "linux")
    for name, content in BASE.items():
        (tree / name).write_bytes(content)
    (tree / "link").symlink_to("chain.c")
    commit(tree, "the base")
    git(tree, "tag", "base")
    diffs: dict[str, bytes] = {}

    def take(name: str, change: Callable[[Path], None]) -> None:
        change(tree)
        commit(tree, name)
        argv: list[str | Path] = [proc.need("git"), "-C", tree, "diff", "--binary", "--find-renames", "HEAD~1", "HEAD"]
        diffs[name] = proc.run_binary(argv, seconds=60)

    for name, change in FREE.items():
        git(tree, "checkout", "--quiet", "--force", "base")
        take(name, change)
    git(tree, "checkout", "--quiet", "--force", "base")
    for number, change in enumerate(CHAIN):
        take(f"chain{number}", change)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KFUNCTEST_CACHE", str(folder / "cache"))
        yield Bench(source.resolve(f"{tree}@base"), diffs, GitAm.make(tree, folder / "am"), folder)


JUNK = (
    "X-Spam-Checker-Version: SpamAssassin 3.4 (2014) on example.org",
    "ARC-Seal: i=1; a=rsa-sha256; d=example.org; b=AAAA\n\tBBBB==",
    "DKIM-Signature: v=1; d=example.org; h=From:Subject",
    "X-Mozilla-Status: 0001",
    "Received: from a by b; Tue, 3 Feb 2026 10:11:12 +0000",
    "Return-Path: <bounce@example.org>",
)
TEXTS = (
    "A reason.\n\nSigned-off-by: N <n@example.org>\n",
    "Größer.\n\nFrom the report (10:22, 3 May 2026) we know it.\nFrom n@example.org Mon Sep 17 00:00:00 2001\nMore.\n",
    "Smaller code:\n\n@@ -10,4 +10,3 @@ three:\n mov\n-nop\n ret\n",
    "Dear list,\n\n-- >8 --\n\nsee above\n",
    "> quoted\n>From here\n",
    "",
)


@dataclass(frozen=True)
class Thread:
    """What is sent: the series in order, what else there is in the same place, and how it is all kept."""

    series: tuple[SentMail, ...]
    others: tuple[SentMail, ...]
    lacking: int | None
    order: tuple[int, ...]
    kept: str


@st.composite
def mails(draw: st.DrawFn, subject: str, diff: bytes, number: int, fault: str) -> SentMail:
    encoding = draw(st.sampled_from(("8bit", "quoted-printable", "base64")))
    shape = draw(st.sampled_from(("plain", "inline", "attachment")))
    shape = "flowed" if fault == "flowed" else shape
    text = draw(st.sampled_from(TEXTS))
    references = ("cover@example.org",) if number else ()
    return SentMail(
        subject,
        text.encode() + b"---\n file.c | 2 +-\n\n" + diff + b"-- \n2.39.5\n\n",
        message_id=f"{number}@example.org",
        references=references,
        encoding=encoding,
        charset="x-unknown" if fault == "charset" else draw(st.sampled_from(("utf-8", "iso-8859-1"))),
        shape=shape,
        junk=tuple(draw(st.lists(st.sampled_from(JUNK), max_size=3, unique=True))),
        crlf=draw(st.booleans()) and shape != "flowed",
        dos_within=fault == "dos" and encoding != "8bit",
        order=tuple(draw(st.permutations(range(4)))),
    )


@st.composite
def threads(draw: st.DrawFn, diffs: Mapping[str, bytes]) -> Thread:
    names = draw(st.lists(st.sampled_from(sorted(FREE)), max_size=2, unique=True))
    names += [f"chain{number}" for number in range(draw(st.integers(0 if names else 1, len(CHAIN))))]
    version = draw(st.sampled_from(("", " v2", " RFC v3")))
    of = len(names)
    tags = [f"[PATCH{version} {number}/{of}]" if of > 1 else f"[PATCH{version}]" for number in range(of + 1)]
    # git am rejects most of what has one of these, and so a thread with any.
    faults = draw(st.sampled_from((("",), ("",), ("",), ("", "flowed", "dos"), ("", "charset"))))
    series = tuple(
        draw(mails(f"{tags[n]} mm: {name}", diffs[name], n, draw(st.sampled_from(faults))))
        for n, name in enumerate(names, start=1)
    )
    kept = draw(st.sampled_from(("mbox", "gzip", "bom", "maildir", "folder", "numbered", "renumbered", "files")))
    others: list[SentMail] = []
    if kept != "files":
        noise = draw(st.sets(st.sampled_from(("cover", "answer", "talk", "twice", "older"))))
        if "cover" in noise and of > 1:
            others.append(SentMail(f"{tags[0]} mm: all of it", b"Dear list,\n\n--- a\n", "cover@example.org"))
        if "answer" in noise:
            proposal = b"> A reason.\n\nRather:\n\n" + diffs["new"]
            others.append(SentMail(f"Re: {series[-1].subject}", proposal, "re@example.org", ("cover@example.org",)))
        if "talk" in noise:
            others.append(SentMail("thanks", b"Applied.\n", "talk@example.org"))
        if "twice" in noise and kept != "renumbered" and not series[0].dos_within and series[0].shape != "flowed":
            others.append(replace(series[0], encoding="base64", crlf=False, shape="plain"))
        if "older" in noise and version and kept != "renumbered":
            others += [replace(each, subject=each.subject.replace(version, ""), message_id="") for each in series]
    lacking = None
    if of > 2 and kept not in ("files", "renumbered") and draw(st.integers(0, 7)) == 0:
        lacking = draw(st.integers(0, of - 1))
        others = [each for each in others if each.subject != series[lacking].subject]
    count = of + len(others) - (lacking is not None)
    return Thread(series, tuple(others), lacking, tuple(draw(st.permutations(range(count)))), kept)


def keep(thread: Thread, folder: Path) -> list[Path]:
    """Write the thread below ``folder``; returns what is named on the command line."""
    series = [each for number, each in enumerate(thread.series) if number != thread.lacking]
    mails = [*series, *thread.others]
    shuffled = [mails[place] for place in thread.order]
    if thread.kept in ("mbox", "gzip", "bom"):
        box = b"".join(FROM + mail.written() + b"\n" for mail in shuffled)
        box = gzip.compress(box) if thread.kept == "gzip" else b"\xef\xbb\xbf" * (thread.kept == "bom") + box
        return [_file(folder / "thread", box)]
    if thread.kept == "maildir":
        for number, mail in enumerate(shuffled):
            _file(folder / ("cur", "new")[number % 2] / f"{number}.host:2,S", mail.written())
    elif thread.kept == "folder":
        for number, mail in enumerate(shuffled):
            _file(folder / f"mail{number}.patch", mail.written())
    else:
        first = 1 if thread.kept == "numbered" else 8
        numbers = [n for n in range(len(thread.series)) if n != thread.lacking]
        named = {f"{first + n}-x.patch": mail for n, mail in zip(numbers, series, strict=True)}
        named |= {f"x{n}.patch": mail for n, mail in enumerate(thread.others)}
        files = [_file(folder / name, mail.written()) for name, mail in named.items()]
        return files if thread.kept == "files" else [folder]
    return [folder]


def _file(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def expected(bench: Bench, series: Sequence[SentMail], folder: Path) -> set[str | None]:
    """What may come of it: git am's tree; where it rejects a mail, that of git am --keep-cr, too."""
    files = [_file(folder / f"{number}.eml", mail.written()) for number, mail in enumerate(series)]
    tree = bench.am.tree("base", files)
    return {tree} if tree else {None, bench.am.tree_with_dos_files("base", files)}


def test_a_series_gives_the_tree_of_git_am(bench: Bench) -> None:
    trees: list[str | None] = []

    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
    @given(threads(bench.diffs))
    def compare(thread: Thread) -> None:
        folder = bench.folder / "example"
        try:
            named = keep(thread, folder / "kept")
            trees.append(ours(bench.base.store, bench.base.tree, *named))
            may = {None} if thread.lacking is not None else expected(bench, thread.series, folder / "am")
            assert trees[-1] in may
        finally:
            shutil.rmtree(folder)

    compare()
    assert sum(tree is not None for tree in trees) > EXAMPLES // 2, "most are rejected, which tells little"
