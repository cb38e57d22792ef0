# SPDX-License-Identifier: GPL-2.0-only
"""An append-only file of what a command has found so far. It survives the command, whatever ends that."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

from kfunctest.errors import InfraError


class Log:
    """One JSON object a line, each on the disk before anything is concluded from it.

    A killed process loses at most the line that it was writing: the torn end of a file is removed when it is opened
    again. ``entries`` are the lines that were there then.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        content = file.read_bytes() if file.exists() else b""
        whole = content.rfind(b"\n") + 1
        if whole != len(content):
            os.truncate(file, whole)
        self.entries = [entry for line in content[:whole].splitlines() if (entry := _entry(line)) is not None]

    def add(self, **entry: Any) -> None:
        """Append a line. Raises InfraError where it cannot be written."""
        text = json.dumps(entry, default=str).encode() + b"\n"
        try:
            with self.file.open("ab", buffering=0) as out:
                if out.write(text) != len(text):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(out.fileno())
        except OSError as error:
            raise InfraError(f"{self.file} cannot be written ({error.strerror})", remedy="free some space") from error


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
