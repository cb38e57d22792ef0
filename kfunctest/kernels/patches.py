# SPDX-License-Identifier: GPL-2.0-only
"""Patches: read from files, folders and mailboxes, and applied in order, strictly, to a tree of the git store."""

from __future__ import annotations

import gzip
import re
import sys
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from kfunctest import cache, proc
from kfunctest.errors import SpecError
from kfunctest.kernels import gitstore, mail_thread, mbox, user_paths
from kfunctest.kernels.gitstore import Store
from kfunctest.kernels.mbox import Mail as Patch
from kfunctest.kernels.source import Source

__all__ = ["Patch", "apply", "compare_base", "read"]
#: A commit as git log -p and git show begin it.
_LOGGED: Final = re.compile(rb"^commit [0-9a-f]{40,64}\b.*\n(?:Merge: .*\n)?Author: ", re.MULTILINE)
#: Why a diff may not apply, by how it was written. Both names are the same only where neither has a prefix.
_REMEDIES: Final = {
    rb"\A(?:.*\r\n)+\Z": "its lines end in CRLF; strip that: sed -i 's/\\r$//' FILE, or where a mail has them "
    "encoded, git mailinfo --quoted-cr=strip text new.diff <FILE",
    rb"^(?:diff --git (\S+) \1|--- (\S+)(?:\t.*)?\n\+\+\+ \2(?:\t.*)?)$": "its paths lack the prefixes a/ and b/; "
    "write it with git diff --src-prefix=a/ --dst-prefix=b/",
    rb"^Binary files .* differ$": "it lacks the content of a binary file; write it with git diff --binary",
}


def read(texts: Iterable[str | Path], base: Path = Path()) -> tuple[Patch, ...]:
    """The patches in files, mailboxes, folders (``*.patch``, a Maildir, a quilt series), and ``-``, standard input.

    Of each, a series is put in order; replies and older versions are skipped, which is printed on stderr.
    Raises SpecError where a part is missing, or has no diff, and where there is nothing to apply.
    """
    return tuple(patch for text in texts for patch in _in(str(text), base))


def apply(store: Store, tree: str, patches: Sequence[Patch]) -> str:
    """The tree that ``patches`` make of ``tree``. Raises SpecError: which patch, file and hunk does not apply."""
    if not patches:
        return tree
    with store.index("patches") as index:
        store.git("read-tree", tree, env=index)
        for patch in patches:
            # No fuzz: git apply takes a hunk elsewhere only if all of its context is there.
            argv = ("apply", "--cached", "--whitespace=nowarn", "-")
            tried = [store.git(*argv, env=index, stdin=patch.diff, check=False)]
            if tried[0].status and patch.diff_with_cr:
                tried.append(store.git(*argv, env=index, stdin=patch.diff_with_cr, check=False))
            if tried[-1].status:
                raise cache.no_space() if proc.out_of_space(tried[0].stderr) else _refused(patch, tried[0].stderr)
        return store.git("write-tree", env=index).stdout.strip()


def compare_base(source: Source, patches: Sequence[Patch]) -> None:
    """Say on stderr where a mail names another base-commit than the source."""
    for base in dict.fromkeys(patch.base for patch in patches if patch.base):
        found = source.store.git("rev-parse", "--quiet", "--verify", f"{base}^{{tree}}", check=False)
        if found.stdout.strip() != source.tree:
            sys.stderr.write(f"the patches name the base-commit {base[:12]}; the source is {source.words}\n")


def _in(text: str, base: Path) -> list[Patch]:
    path = Path("standard input") if text == "-" else user_paths.written(text, base)
    try:
        if (path / "series").is_file():
            if not (names := list(_listed(path / "series"))):
                raise SpecError(f"{path / 'series'} lists no patch")
            return [patch for name in names for patch in _in(name, Path())]
        if text == "-":
            return mail_thread.chosen(_held(sys.stdin.buffer.read() if sys.stdin else b"", str(path)), path)
        mails = [mail for file in _files(path) for mail in _held(file.read_bytes(), str(file))]
        if path.is_dir() and any(map(_renumbered, mails)):  # by its user, for whom the names decide
            mails = [replace(mail, part=mail.part and (1, 0)) for mail in mails if not mail.part or mail.part[0]]
        return mail_thread.chosen(mails, path)
    except FileNotFoundError as error:
        raise SpecError(f"the patch {error.filename} does not exist") from None
    except (OSError, EOFError, zlib.error) as error:  # the last two of gzip
        raise SpecError(f"the patch {path} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _held(content: bytes, place: str) -> list[Patch]:
    """The mails, or the plain diff, in a file's content, packed by gzip or not. Raises SpecError and gzip's errors."""
    text = gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
    text = text.removeprefix(b"\xef\xbb\xbf").lstrip()
    if mails := mbox.read(text, place):
        return mails
    if len(_LOGGED.findall(text)) > 1:
        problem = f"{place} holds several commits as git log prints them, and nothing says which is the first"
        raise SpecError(problem, remedy="write them with git format-patch --stdout")
    if not (id_ := gitstore.patch_id(text)):
        raise SpecError(f"{place} holds no diff", remedy="pass a file that git format-patch or git diff wrote")
    return [Patch(Path(place).name, id_, place, text)]


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = [*path.glob("cur/[!.]*"), *path.glob("new/[!.]*")] or [*path.glob("*.patch")]
    if not files:
        raise SpecError(f"the patch folder {path} holds no *.patch, no mail and no quilt series")
    return sorted(files, key=lambda file: [int(n) if n.isdecimal() else n for n in re.split(r"(\d+)", str(file))])


def _renumbered(mail: Patch) -> bool:
    number = re.match(r"(?:v\d+-)?(\d+)-", Path(mail.place).name)
    return bool(number and mail.part and mail.part[1] and int(number[1]) != mail.part[0])


def _listed(series: Path) -> Iterator[str]:
    for number, line in enumerate(series.read_text(errors="surrogateescape").splitlines(), start=1):
        words = re.sub(r"(^|\s)#.*", "", line).split()
        if words[1:] not in ([], ["-p1"]) or re.search(r"\s#[+-]\w", line):
            remedy = "list names of patches only, and write these with a/ and b/ (quilt refresh -p ab)"
            raise SpecError(f"{series}, line {number} has an option or a guard: {line.strip()}", remedy=remedy)
        yield from (str(series.parent / word) for word in words[:1])


def _refused(patch: Patch, said: str) -> SpecError:
    """What git apply said about ``patch``, as one line with file and hunk; the hunk itself is the evidence."""
    what = f'the patch "{patch.subject}" ({patch.place}) does not apply'
    written = (remedy for how, remedy in _REMEDIES.items() if re.search(how, patch.diff, re.MULTILINE))
    cut = "it was truncated or wrapped in transit; take the mail as it was sent" if "corrupt patch" in said else ""
    remedy = patch.fault or next(written, cut or "rebase it onto this source")
    failed = re.search(r"^error: patch failed: (.+):(\d+)$", said, re.MULTILINE)
    if failed is None:
        error = re.search(r"^error: (.*)", said, re.MULTILINE)
        return SpecError(f"{what}: {error[1] if error else said.strip()}", remedy=remedy)
    # A file's hunks go as far as the next file, and each as far as the next hunk.
    of_file = rf"^(?:---|\+\+\+) [ab]/{re.escape(failed[1])}\s*$(.*?)(?=^diff |\Z)"
    file = re.search(of_file, patch.diff.decode(errors="replace"), re.MULTILINE | re.DOTALL)
    hunks = re.findall(r"^@@ -.*?(?=^@@ -|\Z)", file[1] if file else "", re.MULTILINE | re.DOTALL)
    for number, hunk in enumerate(hunks, start=1):
        if re.match(rf"@@ -{failed[2]}[, ]", hunk):
            where = f"hunk {number} of {len(hunks)} of {failed[1]}, at line {failed[2]}"
            return SpecError(f"{what}: {where}", remedy=remedy, evidence=hunk.rstrip())
    return SpecError(f"{what}: {failed[1]}:{failed[2]}", remedy=remedy)
