# SPDX-License-Identifier: GPL-2.0-only
"""A test that a kernel cannot take says so by name. Never for a kfunc that the contract promises."""

from __future__ import annotations

import pytest


def needs(met: bool, otherwise: str) -> None:
    """Go on when the need is ``met``; else report the test as not applicable, with ``otherwise`` as the reason."""
    if not met:
        pytest.skip(f"not applicable: {otherwise}")
