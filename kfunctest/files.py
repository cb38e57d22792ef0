# SPDX-License-Identifier: GPL-2.0-only
"""Files that appear whole or not at all, and links that always lead somewhere."""

from __future__ import annotations

import secrets
from pathlib import Path

import safer


def write(file: Path, content: bytes | str) -> None:
    """Replace ``file`` in one step; text is written as UTF-8, with a backslash escape for what UTF-8 cannot hold.

    Until then the old content stays, and it stays for good where this fails or is killed. Two writers do not disturb
    each other: the later one wins. A new file gets its permissions from the umask, an old one keeps them. Raises
    OSError.
    """
    data = content.encode(errors="backslashreplace") if isinstance(content, str) else content
    # safer says of a missing folder neither its name nor an errno.
    file.parent.stat()
    # Of temporary files that safer names itself, only their owner may read what they become.
    with safer.open(file, "wb", temp_file=_beside(file)) as out:
        out.write(data)


def point(link: Path, target: str) -> None:
    """Let ``link`` lead to ``target``, as seen from its folder, without a moment in which there is none.

    Raises OSError.
    """
    new = _beside(link)
    new.symlink_to(target)
    try:
        new.replace(link)
    except OSError:
        new.unlink()
        raise


def _beside(path: Path) -> Path:
    """A name next to ``path`` that nobody else uses, nor a killed run has left."""
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}")
