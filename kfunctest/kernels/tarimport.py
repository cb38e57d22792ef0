# SPDX-License-Identifier: GPL-2.0-only
"""A tar file as git fast-import reads it (git-fast-import(1))."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from typing import IO, Final

#: Who made the commit that carries the tree, and when: the same file gives the same commit.
_COMMITTER: Final = b"kfunctest <kfunctest@localhost> 0 +0000"


def send(tar: IO[bytes], importer: IO[bytes], ref: str, report: Callable[[int], None]) -> None:
    """Write the files of the stream ``tar`` to ``importer`` as one commit at ``ref``, without the top folder.

    It is one only after :func:`end`. ``report`` gets the number of files so far. Raises tarfile.TarError when the
    stream is none, and BrokenPipeError when the importer is gone.
    """
    importer.write(b"commit %s\ncommitter %s\ndata 0\n\n" % (ref.encode(), _COMMITTER))
    count = 0
    with tarfile.open(fileobj=tar, mode="r|", bufsize=1 << 20) as source:
        for member in source:
            path = member.name.removeprefix("./").partition("/")[2]
            if not path or not (member.isreg() or member.issym()):
                continue
            if member.issym():
                mode, data = b"120000", member.linkname.encode()
            else:
                content = source.extractfile(member)
                assert content
                mode, data = b"100755" if member.mode & 0o100 else b"100644", content.read()
            importer.write(b"M %s inline %s\ndata %d\n" % (mode, _quoted(path), len(data)))
            importer.write(data + b"\n")
            count += 1
            report(count)


def end(importer: IO[bytes]) -> None:
    """Say that all was sent. Raises BrokenPipeError when the importer is gone."""
    importer.write(b"done\n")
    importer.close()


def _quoted(path: str) -> bytes:
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'.encode(errors="surrogateescape")
