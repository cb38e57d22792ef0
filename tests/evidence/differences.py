# SPDX-License-Identifier: GPL-2.0-only
"""Where the revisions of the series differ, and which tests a kernel of one fails by the contract of the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference between v2 and v7.0, with the tests that see it, as ``file::test``."""

    what: str
    #: What a kernel that keeps v2 fails by ``--contract v7.0``.
    v2_judged_by_v7: tuple[str, ...]
    #: What a kernel that keeps v7.0 fails by ``--contract v2``.
    v7_judged_by_v2: tuple[str, ...]


DIFFERENCES: Final[tuple[Difference, ...]] = ()
