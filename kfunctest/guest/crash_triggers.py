# SPDX-License-Identifier: GPL-2.0-only
"""Ways in which a guest goes wrong, on demand: what this project's own tests do to a kernel that is none of the judged.

The kernel's are real: sysrq's, and those of LKDTM, which the flavour ``faults`` has
(Documentation/fault-injection/provoke-crashes.rst).
"""

from __future__ import annotations

import mmap
import os
import sys

#: Where LKDTM takes the name of a fault, which then happens at once, in the writer.
LKDTM = "/sys/kernel/debug/provoke-crash/DIRECT"
#: Bytes of a line on the console: /dev/kmsg takes no longer ones than about 1000 (PRINTKRB_RECORD_MAX, printk.c).
LINE = 900


def sysrq(key: str) -> None:
    """What the key does by itself: ``c`` panics."""
    _write("/proc/sysrq-trigger", key)


def provoke(kind: str) -> None:
    """One of LKDTM's faults, in the agent itself. Raises FileNotFoundError in a kernel without LKDTM."""
    _write(LKDTM, kind)


def provoke_in_child(kind: str) -> int:
    """The same in a process of its own. Returns that one's exit status, negative when it died of a signal."""
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", f"echo {kind} >{LKDTM}"], os.environ)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def survive_oopses() -> None:
    """Have an oops end the process that made it, and not the kernel."""
    _write("/proc/sys/kernel/panic_on_oops", "0")


def watch_closely() -> None:
    """Have a CPU that schedules nothing for 2 s, twice this threshold, count as locked up; else that takes 20 s."""
    _write("/proc/sys/kernel/watchdog_thresh", "1")


def lose_patience_with_tasks() -> None:
    """Have a task that is blocked for 2 s count as hung; else that takes 2 minutes."""
    _write("/proc/sys/kernel/hung_task_timeout_secs", "2")


def end_agent(number: int) -> None:
    """Send the agent a signal: SIGKILL ends it, SIGSTOP leaves it there without an answer."""
    os.kill(os.getpid(), number)


def eat_memory() -> None:
    """Touch private memory until the kernel has none left, in the agent: it is then the largest process by far."""
    kept = []
    while True:
        area = mmap.mmap(-1, 16 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        for offset in range(0, len(area), mmap.PAGESIZE):
            area[offset] = 1
        kept.append(area)


def garble_channel(size: int) -> int:
    """Write ``size`` bytes that mean nothing into the channel to the host. Returns how many."""
    # main.py's, which is the program: nothing else in the guest has the channel's own descriptor.
    io = sys.modules["__main__"].io
    io.write(b"\xfe\xed" * (size // 2))
    return size


def flood_console(size: int) -> int:
    """Log ``size`` bytes at level 4 (KERN_WARNING). Returns how many lines that were."""
    _write("/proc/sys/kernel/printk_devkmsg", "on\n")  # else ten lines in 5 s, and what is beyond is dropped
    kmsg = os.open("/dev/kmsg", os.O_WRONLY)
    lines = -(-size // LINE)
    for number in range(lines):
        os.write(kmsg, b"<4>%s" % f"flood {number} ".encode().ljust(LINE, b"."))
    os.close(kmsg)
    return lines


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)
