# SPDX-License-Identifier: GPL-2.0-only
"""What the kernel does by itself, held still where it changes by right what a test measures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kfunctest.guest import background
from kfunctest.machine.vm import Vm


@contextmanager
def asleep(vm: Vm, *paths: str) -> Iterator[None]:
    """Have these settings of kfunctest/guest/background.py asleep, and as before in the end."""
    ours = not vm.prefix  # else its cleanup process would not restore all of them, should we die
    before = vm.call(background.hold, list(paths), ours)
    try:
        yield
    finally:
        if not vm.lost:
            vm.call(background.restore, before)
