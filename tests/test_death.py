# SPDX-License-Identifier: GPL-2.0-only
"""Who is to blame for the end of a VM, by its console and by how QEMU ended."""

from __future__ import annotations

import re

import pytest

from kfunctest.guest.log_markers import AGENT_ENDED
from kfunctest.machine import death

BOOT = "[    0.000000] Linux version 7.2.13\n[    5.100000] virtme-ng-init: initialization done\n"
NULL = """[   12.000001] BUG: kernel NULL pointer dereference, address: 0000000000000008
[   12.000002] #PF: supervisor write access in kernel mode
[   12.000003] Oops: Oops: 0002 [#1] SMP NOPTI
[   12.000004] CPU: 1 UID: 0 PID: 61 Comm: kfunctest-agent Not tainted 7.2.13 #1
[   12.000005] RIP: 0010:lkdtm_EXCEPTION+0xf/0x20
[   12.000006] Code: 90 90
[   12.000007] RIP: 0033:0x7f1a2b3c4d5e
"""
#: As 6.12 without CONFIG_PRINTK_CALLER, and a later one with it, print it.
OLD_GPF = (
    "[   3.1] general protection fault, probably for non-canonical address 0xdffffc00106657bb: 0000 [#2] PREEMPT SMP\n"
)
NEW_GPF = "[   85.6][  T212] Oops: general protection fault, kernel NULL pointer: 0000 [#1] SMP KASAN\n"
BUG = """[    9.9] kernel BUG at drivers/misc/lkdtm/bugs.c:105!
[    9.9] Oops: invalid opcode: 0000 [#1] SMP NOPTI
[    9.9] RIP: 0010:lkdtm_BUG+0x5/0x10
"""
FATAL = "[   12.1] Kernel panic - not syncing: Fatal exception\n[   12.2] Kernel Offset: disabled\n"
SYSRQ = "[   12.1] Kernel panic - not syncing: sysrq triggered crash\n"
SOFT = """[   40.0] watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [kfunctest-agent:61]
[   40.1] RIP: 0010:lkdtm_SOFTLOCKUP+0x10/0x20
[   40.2] Kernel panic - not syncing: softlockup: hung tasks
"""
HUNG_TASK = """[   40.0] INFO: task kfunctest-agent:61 blocked in I/O wait for more than 2 seconds.
[   40.2] Kernel panic - not syncing: hung_task: blocked tasks
"""
OOM = (
    "[   30.1] Out of memory: Killed process 61 (kfunctest-agent) total-vm:900000kB, anon-rss:850000kB\n"
    f"[   30.9] {AGENT_ENDED} 137\n"
)
#: One of a test's workers, as it must be: its memcg was too small.
OOM_OF_WORKER = "[   20.1] Memory cgroup out of memory: Killed process 79 (python3.11) total-vm:22808kB\n"


@pytest.mark.parametrize(
    "text, line",
    [
        (NULL, "BUG: kernel NULL pointer dereference, address: 0000000000000008 at lkdtm_EXCEPTION+0xf/0x20"),
        (BUG, "kernel BUG at drivers/misc/lkdtm/bugs.c:105! at lkdtm_BUG+0x5/0x10"),
        (OLD_GPF, OLD_GPF.partition("] ")[2].strip()),
        (NEW_GPF, NEW_GPF.partition("T212] ")[2].strip()),
        (BOOT, None),
        ("[    1.0] WARNING: CPU: 0 PID: 1 at mm/memcontrol.c:1 memcg_events+0x49/0x50\n", None),
        ("[    1.0] pci 0000:00:02.0: [1af4:1003] type 00 [#1]\n", None),
    ],
    ids=["null", "bug", "old gpf", "new gpf", "boot", "warning", "numbers"],
)
def test_an_oops_in_one_line(text: str, line: str | None) -> None:
    assert death.oops(BOOT + text) == line


@pytest.mark.parametrize(
    "text, why",
    [
        (SYSRQ, "sysrq triggered crash"),
        (NULL + FATAL, "BUG: kernel NULL pointer dereference, address: 0000000000000008 at lkdtm_EXCEPTION+0xf/0x20"),
        (SOFT, "BUG: soft lockup - CPU#1 stuck for 26s! [kfunctest-agent:61]"),
        (HUNG_TASK, "INFO: task kfunctest-agent:61 blocked in I/O wait for more than 2 seconds."),
        (FATAL, "Fatal exception"),
        (NULL + SYSRQ, "sysrq triggered crash"),
        (NULL, None),
    ],
    ids=["sysrq", "oops", "soft lockup", "hung task", "no cause", "survived oops", "no panic"],
)
def test_why_a_kernel_panicked(text: str, why: str | None) -> None:
    assert death.panic(BOOT + text) == why


@pytest.mark.parametrize(
    "text, reason, guilty, why",
    [
        (NULL + FATAL, "guest-reset", True, "panicked: BUG: kernel NULL"),
        (SYSRQ, None, True, "sysrq"),
        ("", "guest-reset", True, "triple fault"),
        ("", None, False, "QEMU was killed"),
        ("", "host-signal", False, "from outside"),
        (OOM_OF_WORKER, "host-signal", False, "from outside"),
        ("", "guest-shutdown", False, "shut itself down"),
        (f"[ 1.0] {AGENT_ENDED} 137\n", "guest-shutdown", False, "agent ended by signal 9, and the kernel lives"),
        (f"[ 1.0] {AGENT_ENDED} 0\n", "guest-shutdown", False, "the channel to the agent broke"),
        (f"[ 1.0] {AGENT_ENDED} 1\n", "guest-shutdown", False, "agent ended with status 1"),
        (OOM, "guest-shutdown", False, "OOM killer ended the agent.*--memory"),
        (OOM_OF_WORKER + f"[ 1.0] {AGENT_ENDED} 137\n", "guest-shutdown", False, "by signal 9"),
        (NULL + f"[ 1.0] {AGENT_ENDED} 139\n", "guest-shutdown", True, "killed the agent by an oops: BUG: kernel NULL"),
    ],
)
def test_who_ended_a_vm(text: str, reason: str | None, guilty: bool, why: str) -> None:
    found = death.of_vm(BOOT + text, text, reason)
    assert found.kernel is guilty
    assert re.search(why, f"{found.why} {found.remedy}"), found


def test_an_oops_that_an_earlier_test_survived_killed_no_agent() -> None:
    ended = f"[ 99.0] {AGENT_ENDED} 137\n"
    assert not death.of_vm(BOOT + NULL + ended, ended, "guest-shutdown").kernel


@pytest.mark.parametrize(
    "why, given",
    [
        ('VFS: Unable to mount root fs on "/dev/nothing" or unknown-block(0,0)', True),
        ("No working init found.  Try passing init= option to kernel.", True),
        ("Attempted to kill init! exitcode=0x00007f00", True),
        ("Attempted to kill init! exitcode=0x0000000b", False),
        ("System is deadlocked on memory", True),
        ("Fatal exception", False),
    ],
)
def test_a_panic_that_blames_what_the_kernel_was_given(why: str, given: bool) -> None:
    assert death.misconfigured(f"{BOOT}[    2.0] Kernel panic - not syncing: {why}\n") is given
