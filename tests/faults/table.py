# SPDX-License-Identifier: GPL-2.0-only
"""The faults and what must come of each, as data: the tests and docs/faults.md are both made from it.

``python -m tests.faults.table`` writes the tables of the page anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kfunctest.machine.vm import BOOT_SECONDS, REQUEST_SECONDS
from kfunctest.results import Outcome
from tests.faults.suite.faulty import PATIENCE

#: Seconds with KVM for looking at a VM that has died or hung, and for taking it down: stacks of all tasks and CPUs.
DIAGNOSIS = 8.0
#: Statuses of a run.
GOOD, BAD, INFRA, KILLED = 0, 1, 3, -9
#: The gate's where it could not judge all.
UNJUDGED = 2
PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "faults.md"
#: What stands around the tables in the page.
OPENING, CLOSING = "<!-- made by python -m tests.faults.table -->\n", "<!-- until here -->\n"


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to go wrong, between two tests that must pass.

    ``name`` is that of its test in suite/faulty.py; ``what`` happens and ``how`` it is made, in words; ``outcome`` is
    the test's, ``status`` the run's; ``says`` is a regular expression for the test's message; ``seconds`` with KVM are
    given until the outcome is known, with the boot of a VM where it has one of its own.
    """

    name: str
    what: str
    how: str
    outcome: Outcome
    says: str
    seconds: float = REQUEST_SECONDS + DIAGNOSIS
    status: int = BAD
    #: Kinds of splats that the result must carry.
    splats: tuple[str, ...] = ()
    #: Further options of the run.
    options: tuple[str, ...] = ()
    #: A regular expression for the details of the result, and unless it hung the console: what leads to the cause.
    shows: str = ""


HUNG = PATIENCE + DIAGNOSIS
FAULTS = (
    Fault(
        "panic",
        "the kernel panics",
        "sysrq c",
        Outcome.CRASHED,
        "sysrq",
        shows="sysrq_handle_crash",
    ),
    Fault(
        "oops",
        "the kernel oopses, and an oops is a panic",
        "LKDTM EXCEPTION",
        Outcome.CRASHED,
        "NULL pointer dereference",
        shows="lkdtm_EXCEPTION",
    ),
    Fault(
        "oops_survived",
        "a process of the test dies by an oops, and the kernel lives",
        "LKDTM EXCEPTION with kernel.panic_on_oops=0",
        Outcome.FAILED,
        "NULL pointer dereference|[Oo]ops",
        splats=("oops",),
        shows="lkdtm_EXCEPTION",
    ),
    Fault(
        "oops_of_agent",
        "the agent dies by an oops, and the kernel lives",
        "LKDTM EXCEPTION in the agent with kernel.panic_on_oops=0",
        Outcome.CRASHED,
        "agent",
        shows="lkdtm_EXCEPTION",
    ),
    Fault(
        "irqs_off",
        "a CPU loops with interrupts off",
        "LKDTM HARDLOCKUP in the agent, on one of two CPUs",
        Outcome.HUNG,
        "no answer within",
        HUNG,
        shows="lkdtm_HARDLOCKUP",
    ),
    Fault(
        "irqs_off_everywhere",
        "the only CPU loops with interrupts off",
        "LKDTM HARDLOCKUP in the agent, --cpus 1",
        Outcome.HUNG,
        "no answer within",
        HUNG,
        options=("--cpus", "1"),
        shows="lkdtm_HARDLOCKUP",
    ),
    Fault(
        "soft_lockup",
        "a CPU loops without scheduling",
        "LKDTM SOFTLOCKUP with kernel.watchdog_thresh=1",
        Outcome.CRASHED,
        "softlockup|soft lockup",
        shows="lkdtm_SOFTLOCKUP",
    ),
    Fault(
        "hung_task",
        "a task is blocked for ever",
        "LKDTM HUNG_TASK with kernel.hung_task_timeout_secs=2",
        Outcome.CRASHED,
        "hung_task|blocked",
        shows="lkdtm_HUNG_TASK",
    ),
    Fault(
        "agent_killed",
        "the agent is killed, and the kernel lives",
        "SIGKILL in the guest",
        Outcome.INFRA,
        "agent.*(signal 9|SIGKILL)",
        status=INFRA,
    ),
    Fault(
        "agent_stopped",
        "the agent answers no more",
        "SIGSTOP in the guest",
        Outcome.HUNG,
        "no answer within",
        HUNG,
        shows="Show Blocked State",
    ),
    Fault(
        "out_of_memory",
        "the guest has no memory left, and its kernel kills the agent",
        "the agent touches all of it",
        Outcome.INFRA,
        "out of memory|OOM",
        seconds=2 * REQUEST_SECONDS + DIAGNOSIS,
        status=INFRA,
        shows="Out of memory: Killed process",
    ),
    Fault(
        "channel_garbled",
        "rubbish comes through the channel",
        "4096 bytes from the agent that mean nothing",
        Outcome.INFRA,
        "channel",
        status=INFRA,
    ),
    Fault(
        "console_flooded",
        "the console is flooded",
        "10 MiB of kernel log",
        Outcome.PASSED,
        "",
        seconds=60,
        status=GOOD,
    ),
    Fault(
        "qemu_killed",
        "QEMU is killed",
        "SIGKILL on the host",
        Outcome.INFRA,
        "QEMU.*(signal 9|SIGKILL|killed)",
        status=INFRA,
    ),
    Fault(
        "qemu_stopped",
        "QEMU is stopped",
        "SIGSTOP on the host",
        Outcome.INFRA,
        "QEMU.*stopped",
        HUNG,
        status=INFRA,
    ),
    Fault(
        "never_boots",
        "the VM never boots, and says nothing wrong",
        "root=/dev/nothing rootwait",
        Outcome.INFRA,
        "did not boot within",
        BOOT_SECONDS + DIAGNOSIS,
        status=INFRA,
    ),
    Fault(
        "no_root",
        "the kernel panics for its command line",
        "rootfstype=nothing",
        Outcome.INFRA,
        "root",
        BOOT_SECONDS,
        status=INFRA,
        shows="Unable to mount root fs",
    ),
    Fault(
        "boot_panic",
        "the kernel dies while it boots",
        "LKDTM BUG as a built-in's first act",
        Outcome.CRASHED,
        "boot",
        BOOT_SECONDS,
        shows="lkdtm_BUG",
    ),
)
#: What is no test of the suite's: the fault, how it is made, what comes of it, and which test of ours shows it.
OTHERS = (
    (
        "the disk of the results is full",
        "a tmpfs of 16 KiB",
        "every test is judged in the terminal; one line names the folder; status 3",
        "test_a_full_disk_for_the_results",
    ),
    (
        "pytest is killed",
        "SIGKILL in the middle of a test",
        "a results file without its last line, which is never a pass",
        "test_a_run_that_is_killed",
    ),
    (
        "a kernel of the matrix does not build",
        "a patch that does not compile",
        "its row says why, the other kernels are judged; status 2 of the gate",
        "test_a_kernel_of_the_matrix_does_not_build",
    ),
)


def suite_test(fault: Fault) -> str:
    """The test of suite/faulty.py that makes it happen."""
    return f"test_{fault.name.removesuffix('_everywhere')}"


def rewritten(page: str) -> str:
    """The page with the tables as they must be."""
    before, _, rest = page.partition(OPENING)
    return "".join([before, OPENING, *(f"{line}\n" for line in _tables()), CLOSING, rest.partition(CLOSING)[2]])


def _tables() -> Iterator[str]:
    yield "| fault | made by | the test's outcome | the run's status | known within, s |"
    yield "|---|---|---|---|---|"
    for fault in FAULTS:
        with_splat = f", with the splat {', '.join(fault.splats)}" if fault.splats else ""
        yield f"| {fault.what} | {fault.how} | `{fault.outcome}`{with_splat} | {fault.status} | {fault.seconds:g} |"
    yield ""
    yield "| fault | made by | what comes of it |"
    yield "|---|---|---|"
    for what, how, comes, _ in OTHERS:
        yield f"| {what} | {how} | {comes} |"


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text()))
