# SPDX-License-Identifier: GPL-2.0-only
"""Waiting for a condition, with a deadline on the monotonic clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(
    condition: Callable[[], T],
    *,
    seconds: float,
    what: str,
    interval: float = 0.01,
    until: Callable[[T], object] = bool,
) -> T:
    """Call ``condition`` until it returns something true, or something that ``until`` accepts, and return that.

    ``seconds`` is the deadline, ``interval`` the pause between two calls in seconds.
    Raises TimeoutError, naming ``what`` was awaited and the last value seen.
    """
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if until(value):
            return value
        if time.monotonic() >= deadline:
            raise TimeoutError(f"waited {seconds:g} s for {what}; last seen: {value!r}")
        time.sleep(interval)
