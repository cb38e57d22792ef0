# SPDX-License-Identifier: GPL-2.0-only
"""What a kernel that answers no request is doing: the stacks that it still shows, and QEMU's view of its CPUs.

First the magic SysRq keys on the serial console, a BREAK and a letter (Documentation/admin-guide/sysrq.rst): ``w``
shows blocked tasks, ``l`` what each CPU does, also one with interrupts off. They need one CPU that takes interrupts.
Where none does, an NMI: the kernel was told to panic when it cannot explain one (``unknown_nmi_panic``), with a stack.
What QEMU knows, it knows always.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from kfunctest.machine.console import Console
from kfunctest.machine.monitor import Monitor, NoAnswer
from kfunctest.wait import wait_until

#: What QEMU calls the character device of the console, which virtme-ng makes.
CONSOLE = "console"
#: The keys, and what the kernel says first for each (drivers/tty/sysrq.c).
KEYS = {"w": "sysrq: Show Blocked State", "l": "sysrq: Show backtrace of all active CPUs"}
#: What a kernel panics of that we sent an NMI (arch/x86/kernel/nmi.c, unknown_nmi_error()).
NMI_PANIC = "Kernel panic - not syncing: NMI: Not continuing"
#: Seconds (with KVM) for the kernel to begin an answer, for it to end one, and without output after which it has.
BEGIN, END, QUIET = 2.0, 4.0, 0.3
#: Seconds (with KVM) for QEMU itself.
MONITOR = 5.0
#: Characters of stacks that are kept, from the beginning.
ENOUGH = 1 << 16


def collect(monitor: Monitor, console: Console, folder: Path, slowdown: int) -> str:
    """What can be learned, in words for a report. Takes some seconds with KVM; ``slowdown`` stretches them.

    ``folder`` is for a named pipe. Nothing of it is to be asked of the VM afterwards.
    """
    start = console.size()
    cpus = registers(monitor, slowdown)  # before an NMI, which ends the VM
    problem = ""
    try:
        with _keyboard(monitor, console, folder, MONITOR * slowdown) as press:
            answered = [key for key in KEYS if _answers(partial(press, key), console, KEYS[key], slowdown)]
    except (NoAnswer, OSError) as error:
        answered, problem = [], f" ({error})"
    if answered:
        told = f"the kernel shows blocked tasks and CPUs (sysrq {', '.join(answered)}):"
    elif _answers(lambda: monitor.ask("inject-nmi", MONITOR * slowdown), console, "NMI", slowdown):
        told = f"the console does not answer sysrq{problem}; the kernel's answer to an NMI:"
    else:
        told = f"the console answers neither sysrq{problem} nor an NMI; nothing is known of the kernel's stacks"
    said = console.text(start)[:ENOUGH].rstrip()
    return "\n".join(filter(None, (cpus, told, said)))


def registers(monitor: Monitor, slowdown: int) -> str:
    """Where each CPU is, by QEMU: a line for each, empty where QEMU does not say."""
    try:
        said = monitor.tell("info registers -a", MONITOR * slowdown)
    except NoAnswer:
        return ""
    lines = []
    for number, at, flags in re.findall(r"CPU#(\d+)\s.*?\b[RE]IP=([0-9a-f]+) [RE]FL=([0-9a-f]+)", said, re.DOTALL):
        interrupts = "on" if int(flags, 16) & 0x200 else "off"  # RFLAGS.IF
        lines.append(f"CPU {number} is at 0x{at}, interrupts {interrupts}")
    return "\n".join(lines)


@contextmanager
def _keyboard(monitor: Monitor, console: Console, folder: Path, seconds: float) -> Iterator[Callable[[str], None]]:
    """A function that presses one SysRq key on the serial console, which virtme-ng gives no input.

    QEMU is told to go on writing to the console's file itself, and to read from a pipe of ours.
    """
    pipe = folder / "keys"
    os.mkfifo(pipe)
    keys = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    try:
        backend = {"out": str(console.path.absolute()), "append": True, "in": str(pipe)}
        monitor.ask("chardev-change", seconds, id=CONSOLE, backend={"type": "file", "data": backend})

        def press(key: str) -> None:
            monitor.ask("chardev-send-break", seconds, id=CONSOLE)
            os.write(keys, key.encode())

        yield press
    finally:
        os.close(keys)


def _answers(ask: Callable[[], object], console: Console, word: str, slowdown: int) -> bool:
    """Whether the console says ``word`` after ``ask()``; if so, wait until it has said all."""
    start = console.size()
    with suppress(NoAnswer, TimeoutError):
        ask()
        wait_until(lambda: word in console.text(start), seconds=BEGIN * slowdown, what=word, interval=0.05)
        _settled(console, slowdown)
        return True
    return False


def _settled(console: Console, slowdown: int) -> None:
    deadline = time.monotonic() + END * slowdown
    size = -1
    while size != console.size() and time.monotonic() < deadline:
        size = console.size()
        time.sleep(QUIET * min(slowdown, 4))
