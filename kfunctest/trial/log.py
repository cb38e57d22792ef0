# SPDX-License-Identifier: GPL-2.0-only
"""An append-only file of what a command has found so far. It survives the command, whatever ends that."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
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
        self.entries: list[dict[str, Any]] = []
        whole = 0
        for line in file.read_bytes().splitlines(keepends=True) if file.exists() else ():
            entry = _entry(line)
            if entry is None:
                break
            self.entries.append(entry)
            whole += len(line)
        if file.exists() and whole != file.stat().st_size:
            os.truncate(file, whole)

    def add(self, **entry: Any) -> None:
        """Append a line. Raises InfraError where it cannot be written."""
        text = json.dumps(entry, default=str).encode() + b"\n"
        try:
            with self.file.open("ab", buffering=0) as out:
                if out.write(text) != len(text):
                    raise OSError(None, "no space left", str(self.file))
                os.fsync(out.fileno())
        except OSError as error:
            raise InfraError(f"{self.file} cannot be written ({error.strerror})", remedy="free some space") from error


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None
    return dict(found) if isinstance(found, Mapping) else None
