# SPDX-License-Identifier: GPL-2.0-only
"""Text that UTF-8 can carry: execnet ends a worker of pytest-xdist whose report holds a lone surrogate."""

from __future__ import annotations

from typing import Any


def fit(value: Any) -> Any:
    """The value with each lone surrogate in its text, however deep, written as the escape that Python would use."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {fit(key): fit(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [fit(inner) for inner in value]
    if isinstance(value, tuple):
        return tuple(fit(inner) for inner in value)
    return value
