# SPDX-License-Identifier: GPL-2.0-only
"""What the command line of every figure has."""

from __future__ import annotations

from dataclasses import dataclass

from kfunctest.machine import accelerator
from kfunctest.machine.accelerator import Accelerator


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """A figure's command line."""

    accel: str

    def accelerator(self) -> Accelerator:
        """The one that was asked for, else the one that works. Raises InfraError."""
        return accelerator.choose(None if self.accel == "auto" else self.accel)

    def run(self) -> int:
        """Measure the figure, and report it; returns the exit status. Raises KfunctestError."""
        raise NotImplementedError
