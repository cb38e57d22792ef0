# SPDX-License-Identifier: GPL-2.0-only
"""Why a VM is gone: its kernel's doing or not, told from the console's text and from what QEMU said of its end."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kfunctest.guest.log_markers import AGENT, AGENT_ENDED

#: die() of arch/x86/kernel/dumpstack.c counts what it reports: ``Oops: 0002 [#1]``; before 6.10 without the first word.
_DIED = re.compile(r"^.*: [0-9a-f]{4} \[#\d+\].*$", re.MULTILINE)
#: What says more than the line that ends it: the causes of an oops (arch/x86/mm/fault.c, lib/bug.c) and of the panics
#: that the kernel was told to make of lockups (kernel/watchdog.c, kernel/hung_task.c).
_CAUSE = re.compile(
    r"BUG: unable to handle .*|BUG: kernel NULL pointer .*|kernel BUG at .*|BUG: soft lockup .*"
    r"|INFO: task .* blocked .*for more than .*"
)
_AT = re.compile(r"RIP: 0010:(\S+)")
_PANIC = re.compile(r"Kernel panic - not syncing: (.*)")
#: What panic() is told when an earlier line says more.
_SAYS_LITTLE = re.compile(r"Fatal exception|softlockup: hung tasks|hung_task: blocked tasks")
#: Panics that blame what the kernel was given (init/main.c, init/do_mounts.c, mm/oom_kill.c), while it boots.
_MISCONFIGURED = re.compile(
    r"VFS: Unable to mount root fs|No working init found|Requested init .* failed"
    r"|Attempted to kill init! exitcode=0x0000..00|System is deadlocked on memory"
)
_AGENT_ENDED = re.compile(rf"{AGENT_ENDED} (\d+)")
_OOM_KILL = re.compile(rf"(?:Memory cgroup out|Out) of memory: Killed process \d+ \({AGENT}\).*")
#: QEMU's error_report() leads with the program's name; what follows is an error unless it says otherwise.
_QEMU = re.compile(r"^qemu-system-\w+: (?!warning: |info: |terminating on signal )(.+?)\s*$", re.MULTILINE)
#: What printk puts before a line: the time, and with CONFIG_PRINTK_CALLER who said it.
_STAMP = re.compile(r"^(?:<\d+>)?\[ *\d+\.\d+\](?:\[ *[TC]\d+\])? ?", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Death:
    """What ended a VM: its ``kernel``, or something that says nothing about it."""

    kernel: bool
    why: str
    remedy: str = ""


def unstamped(text: str) -> str:
    """The text of a console without printk's times."""
    return _STAMP.sub("", text)


def oops(text: str) -> str | None:
    """The first oops in a console's text, in one line: what was wrong, and where. None when there is none."""
    text = unstamped(text)
    died = _DIED.search(text)
    if died is None:
        return None
    at = _AT.search(text, died.start())
    line = _cause(text[: died.start()]) or died[0].strip()
    return f"{line} at {at[1]}" if at else line


def qemu(text: str) -> str | None:
    """The last error of QEMU's own in a console's text; None when it gave none."""
    said = _QEMU.findall(text)
    return f"QEMU: {said[-1]}" if said else None


def panic(text: str) -> str | None:
    """Why the kernel panicked, in one line; None when it did not."""
    found = _PANIC.search(text := unstamped(text))
    if found is None:
        return None
    before = text[: found.start()]
    why = (oops(before) or _cause(before)) if _SAYS_LITTLE.match(found[1]) else None
    return why or found[1].strip()


def misconfigured(text: str) -> bool:
    """Whether a kernel that panicked while it booted blames what it was given: command line, memory, root, init."""
    found = _PANIC.search(text)
    return found is not None and _MISCONFIGURED.match(found[1]) is not None


def of_vm(text: str, latest: str, reason: str | None) -> Death:
    """Why a VM that had booted is gone. ``text`` is its console's, ``latest`` of it what came during the last request.

    ``reason`` is why QEMU ended, in its own words; None when it could not say.
    """
    if why := panic(text):
        return Death(kernel=True, why=f"the kernel panicked: {why}")
    if agent := of_agent(text, latest):
        return agent
    if reason in ("guest-reset", "guest-panic"):
        return Death(kernel=True, why="the kernel reset the machine and said nothing (a triple fault does that)")
    if reason == "guest-shutdown":
        return Death(kernel=False, why="the guest shut itself down")
    if reason is None:
        return Death(kernel=False, why="QEMU was killed, or broke: it ended without a word")
    return Death(kernel=False, why=f"QEMU was told to end from outside ({reason})")


def of_agent(text: str, latest: str) -> Death | None:
    """Why the agent's process ended while its kernel lived on; None when it did not end. See :func:`of_vm`."""
    ended = _AGENT_ENDED.search(text)
    if ended is None:
        return None
    if why := oops(latest):
        return Death(kernel=True, why=f"the kernel killed the agent by an oops: {why}")
    status = int(ended[1])
    if status == 0:  # as it does when its channel ends
        return Death(kernel=False, why="the channel to the agent broke, and the kernel lives")
    if status > 128 and (oom := _OOM_KILL.search(text)):
        why = f"the guest's OOM killer ended the agent, and the kernel lives: {oom[0]}"
        return Death(kernel=False, why=why, remedy="give the VM more with --memory")
    how = f"by signal {status - 128}" if status > 128 else f"with status {status}"
    return Death(kernel=False, why=f"the agent ended {how}, and the kernel lives")


def _cause(text: str) -> str | None:
    found = _CAUSE.findall(text)
    return str(found[-1]).strip() if found else None
