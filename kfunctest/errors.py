# SPDX-License-Identifier: GPL-2.0-only
"""The three ways in which a run goes wrong, kept apart from first to last.

* The request cannot be met: :class:`SpecError` (what was asked for) or :class:`InfraError` (this machine).
* A request failed *in the guest*, which lives on: :class:`GuestError`.
* The guest is gone or does not answer: :class:`VmDied` (its kernel's doing), :class:`VmHung`, :class:`VmLost` (not
  its kernel's doing).

A failed assertion is none of these; it stays pytest's.
"""

from __future__ import annotations

#: pytest's own status for a wrong command line, used for everything that the user can mend in the request.
EXIT_USAGE = 4
#: The machine, a tool or the network stopped the run. Nothing was learned about the kernel.
EXIT_INFRA = 3
#: The shell's status for a program that Ctrl-C ended.
EXIT_INTERRUPTED = 130


class KfunctestError(Exception):
    """One line that says what is wrong, and one remedy.

    ``problem`` states expected and seen; ``remedy`` is what the reader does next, a command line where there is one;
    ``evidence`` is shown above the line: a console's tail.
    """

    exit_status = EXIT_INFRA
    #: Why an earlier boot failed, on account of which this one was not tried; empty where nothing was left untried.
    untried = ""

    def __init__(self, problem: str, *, remedy: str = "", evidence: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy
        self.evidence = evidence

    def __str__(self) -> str:
        return f"{self.problem}; {self.remedy}" if self.remedy else self.problem


class SpecError(KfunctestError):
    """What was asked for does not exist or cannot be judged: a kernel spec, a BPF file, a contract's name."""

    exit_status = EXIT_USAGE


class InfraError(KfunctestError):
    """The machine is at fault: a missing tool, a full disk, no network, a VM that does not boot."""


class NoSpace(InfraError):
    """A disk is full, or a quota is used up."""


class GuestError(Exception):
    """A request raised in the guest. The guest lives on.

    ``kind`` is the exception's class name there, ``errno`` its errno or None, ``log`` the verifier's log or an empty
    string, ``traceback`` the guest's own traceback.
    """

    def __init__(self, kind: str, message: str, traceback: str, errno: int | None = None, log: str = "") -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind
        self.message = message
        self.traceback = traceback
        self.errno = errno
        self.log = log

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}\n\nraised in the guest:\n{self.traceback}"


class VmDied(Exception):
    """The kernel died: it panicked, or reset the machine. ``what`` is one line, ``console`` the console's tail.

    ``seen`` is evidence beyond the console's tail, such as the stacks of a kernel that hung; ``booting`` is whether it
    had not booted yet.
    """

    #: As of :class:`KfunctestError`.
    untried = ""

    def __init__(self, what: str, console: str, *, seen: str = "", booting: bool = False) -> None:
        shown = [what, f"the console's last lines:\n{console}", seen]
        super().__init__("\n\n".join(filter(None, shown)))
        self.what = what
        self.console = console
        self.seen = seen
        self.booting = booting


class VmHung(VmDied):
    """A request was not answered inside its deadline; nothing more can be learned from this guest."""


class VmLost(VmDied):
    """The guest is gone, or cut off, for a reason that says nothing about its kernel."""
