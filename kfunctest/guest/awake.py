# SPDX-License-Identifier: GPL-2.0-only
"""CPUs that do not sleep, which is what deferrable timers wait for."""

from __future__ import annotations

import os
import time

#: Seconds that each is kept busy: a few ticks of any kernel.
_BUSY = 0.03


def keep_awake() -> None:
    """Run on each CPU for a few ticks, and be back wherever this was allowed to run before."""
    allowed = os.sched_getaffinity(0)
    for cpu in sorted(allowed):
        os.sched_setaffinity(0, {cpu})
        until = time.monotonic() + _BUSY
        while time.monotonic() < until:
            pass
    os.sched_setaffinity(0, allowed)
