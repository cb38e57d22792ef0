# SPDX-License-Identifier: GPL-2.0-only
"""Commands that are killed half-way."""

from __future__ import annotations

import os
from collections.abc import Callable


def killed(work: Callable[[], object]) -> None:
    """Do this in a process of its own, which is to end by SIGKILL."""
    if not (child := os.fork()):
        try:
            work()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "it was not killed"
