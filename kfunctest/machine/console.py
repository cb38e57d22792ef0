# SPDX-License-Identifier: GPL-2.0-only
"""The console of a VM: evidence in a file, written by the supervisor, only read here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Console:
    """The whole console of one boot, kept in ``path``."""

    path: Path

    def text(self, start: int = 0) -> str:
        """Everything from byte ``start`` on, as text; undecodable bytes are shown escaped."""
        if not self.path.exists():
            return ""
        with self.path.open("rb") as file:
            file.seek(start)
            return file.read().decode(errors="backslashreplace").replace("\r\n", "\n").replace("\r", "\n")

    def tail(self, lines: int = 25) -> str:
        """The last ``lines`` lines, or a note that the console is empty."""
        return "\n".join(self.text().rstrip().splitlines()[-lines:]) or "(the console is empty)"

    def size(self) -> int:
        """Bytes written so far: a mark to read from later."""
        return self.path.stat().st_size if self.path.exists() else 0
