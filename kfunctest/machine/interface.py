# SPDX-License-Identifier: GPL-2.0-only
"""What a test may ask of the place where a kernel runs, whichever place that is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, Protocol, TypeVar

from kfunctest.errors import VmDied

P = ParamSpec("P")
R = TypeVar("R")


class Target(Protocol):
    """A running kernel with an agent on it."""

    @property
    def release(self) -> str:
        """What ``uname -r`` says there."""

    @property
    def cpus(self) -> int:
        """CPUs online when the agent said hello. The flush threshold and every per-CPU tolerance scale with it."""

    @property
    def page_size(self) -> int:
        """Bytes of a page, as the kernel says."""

    @property
    def lost(self) -> VmDied | None:
        """Why nothing can be asked any more, or None."""

    @property
    def prefix(self) -> str:
        """What the name of a cgroup below the root must begin with; empty where the kernel is ours alone."""

    def stretched(self, seconds: float) -> float:
        """How long here is what takes ``seconds`` on a machine with KVM: for what waits in the guest itself."""

    def file(self, path: Path) -> str:
        """Where a file of the host is found there, sent where it is not."""

    def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run ``function``, of a module of ``kfunctest.guest``, there and return its value, within the usual deadline.

        Arguments and values are numbers, strings, bytes, None, and lists, tuples or dicts of these.
        Raises GuestError when the function raises, VmDied when the channel ends, VmHung when no answer comes in time.
        """

    def call_within(self, seconds: float, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """The same with a deadline in seconds of a machine with KVM; emulation stretches it."""
