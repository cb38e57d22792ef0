# SPDX-License-Identifier: GPL-2.0-only
"""What the kernel counts of its own runs (CONFIG_GCOV_KERNEL; Documentation/dev-tools/gcov.rst)."""

from __future__ import annotations

import os

FOLDER = "/sys/kernel/debug/gcov"


def read() -> list[tuple[str, bytes]]:
    """The counters of each object that keeps some: the path of its object folder and name, and a ``.gcda`` file."""
    found = []
    for folder, _, names in os.walk(FOLDER):
        for name in sorted(names):
            if name.endswith(".gcda"):
                with open(f"{folder}/{name}", "rb") as file:
                    found.append((f"{folder[len(FOLDER) :]}/{name}", file.read()))
    return found
