# SPDX-License-Identifier: GPL-2.0-only
"""This machine, whose running kernel is judged without a VM."""

from __future__ import annotations

import sys

from kfunctest.machine.live_machine import Place


def place() -> Place:
    """This machine, with our own interpreter; who is not root goes through sudo."""
    return Place("this machine", ("/bin/sh", "-c"), (sys.executable,), shares=True)
