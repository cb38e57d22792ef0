# SPDX-License-Identifier: GPL-2.0-only
"""How a run of pytest ended, as a user sees it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run of pytest ended: its exit status, and all that it wrote."""

    status: int
    text: str

    @property
    def line(self) -> str:
        """The last line, which must be the only one of ours."""
        ours = [line for line in self.text.splitlines() if "kfunctest: " in line]
        assert len(ours) == 1, self.text
        assert self.text.splitlines()[-1] == ours[0], self.text
        assert ours[0].startswith("kfunctest: "), self.text
        assert "Traceback" not in self.text
        assert "!!!" not in self.text
        return ours[0]


Judge = Callable[..., Ended]


def written(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def assert_matches(pattern: str, line: str) -> None:
    assert re.search(pattern, line), f"expected {pattern!r} in {line!r}"
