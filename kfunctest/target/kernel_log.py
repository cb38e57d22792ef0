# SPDX-License-Identifier: GPL-2.0-only
"""What the kernel logs while something is done, read from the console."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from kfunctest.guest import agent
from kfunctest.target.vm import Vm
from kfunctest.wait import wait_until

T = TypeVar("T")

#: Lets each WARN_ONCE() of the kernel warn once more: Documentation/admin-guide/clearing-warn-once.rst.
CLEAR_WARN_ONCE = "/sys/kernel/debug/clear_warn_once"

#: Seconds (with KVM) that a line may take from the kernel's log to the console's file.
CATCH_UP_SECONDS = 5.0


def logged(vm: Vm, action: Callable[[], T]) -> tuple[T, str]:
    """Do ``action``; return its result and what the kernel logged meanwhile, down to level 6 (KERN_INFO).

    A marker of ours before and after it tell when the console has caught up. Raises TimeoutError when it does not.
    """
    start = vm.console.size()
    first, last = (f"kfunctest: {word} at console byte {start}" for word in ("begin", "end"))
    vm.call(agent.write_text, "/dev/kmsg", f"<6>{first}\n")
    result = action()
    vm.call(agent.write_text, "/dev/kmsg", f"<6>{last}\n")
    text = wait_until(
        lambda: vm.console.text(start),
        until=lambda text: last in text,
        seconds=CATCH_UP_SECONDS * vm.accelerator.slowdown,
        what="the kernel's log to reach the console",
    )
    return result, text.partition(first)[2].partition(last)[0]
