# SPDX-License-Identifier: GPL-2.0-only
"""Paths as users write them."""

from __future__ import annotations

import re
from pathlib import Path

from kfunctest.errors import SpecError


def written(text: str, base: Path) -> Path:
    """The path that ``text`` means: ``~`` is a home, a relative one starts at ``base``.

    Raises SpecError where nobody has that home, and for a path that would not fit on one line of a report.
    """
    try:
        path = base / Path(text).expanduser()
    except RuntimeError:
        raise SpecError(f"there is no home {Path(text).parts[0]} for {text}", remedy="write the whole path") from None
    if re.search(r"[\x00-\x1f\x7f]", str(path)):
        raise SpecError(f"{str(path)!r} has a control character in its name", remedy="rename it")
    return path
