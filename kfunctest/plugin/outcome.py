# SPDX-License-Identifier: GPL-2.0-only
"""The outcome of a test: of each of its phases by what is known of that, and of the whole by its phases.

Nothing here knows pytest's reports. Whoever has a fact hands it over; no text is read for one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import pytest

from kfunctest.errors import GuestError, KfunctestError, VmDied, VmHung, VmLost
from kfunctest.results import Between, Outcome, Splat

#: Outcomes that pytest has no words for.
BEYOND_PYTEST = (Outcome.CRASHED, Outcome.HUNG, Outcome.INFRA)
#: Errors on the host that no kernel brings about: ours, or the machine's.
_NO_KERNELS = (NameError, ImportError, SyntaxError, OSError, MemoryError, pytest.FixtureLookupError)
#: What a test says of a kernel, or the kernel itself.
_FINDINGS = (AssertionError, GuestError, TimeoutError)
#: The same errors in the guest, which has our code and the machine's Python.
_NO_KERNELS_IN_GUEST = ("NameError", "UnboundLocalError", "ImportError", "ModuleNotFoundError", "SyntaxError")


class Said(StrEnum):
    """What pytest and its plugins make of a phase."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    #: A mark xfail excuses what it raised.
    EXCUSED = "excused"
    #: It raised nothing, and a strict mark xfail says that it must.
    UNRAISED = "unraised"


@dataclass(frozen=True, slots=True)
class Seen:
    """What the kernel logged during a phase.

    ``complaint`` is what it said and nobody expected, ``absent`` what it was expected to say and did not, each one line
    or empty; ``between`` is what was found before the test.
    """

    splats: tuple[Splat, ...] = ()
    log: str = ""
    complaint: str = ""
    absent: str = ""
    between: tuple[Between, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """What decides on a phase. ``error`` is what was raised, or the VM's end or machine's fault that is behind it."""

    said: Said
    error: BaseException | None = None
    #: The kernel killed a process of ours by an oops, and that ended the phase.
    oopsed: bool = False
    #: A kernel runs that the phase can have put to the test.
    runs: bool = True
    complaint: str = ""
    absent: str = ""

    @property
    def machines(self) -> bool:
        """Whether the error says by itself that the machine is at fault."""
        return isinstance(self.error, VmLost | KfunctestError)

    @property
    def kernels(self) -> str:
        """What the kernel said, or did not say, that makes the phase a failure, one line; empty for nothing."""
        return self.complaint or (self.absent if self.said is Said.PASSED else "")


@dataclass(frozen=True, slots=True)
class Phase:
    """How a phase ended: ``name`` is setup, call or teardown, and empty for the end of a worker of pytest-xdist.

    ``test`` and ``kernel`` are named as in results. Fields that a :class:`~kfunctest.results.Result` has are for it.
    """

    name: str
    outcome: Outcome
    test: str = ""
    kernel: str = ""
    message: str = ""
    reproduce: str = ""
    splats: tuple[Splat, ...] = ()
    log: str = ""
    verifier: str = ""
    console: str = ""
    between: tuple[Between, ...] = ()
    #: The kernel died while it booted.
    booting: bool = False
    #: Why an earlier boot failed, on account of which this test's was not tried; empty where it was.
    untried: str = ""
    #: What decided on it had decided on an earlier phase of the test already: a VM that is gone is missed again.
    again: bool = False


def of_phase(facts: Facts) -> Outcome:
    """The first that fits. A mark xfail excuses no VM that is gone, and no complaint of the kernel."""
    error, said = facts.error, facts.said
    if isinstance(error, VmHung):
        return Outcome.HUNG
    if isinstance(error, VmDied) and not isinstance(error, VmLost):
        return Outcome.CRASHED
    if facts.oopsed:
        return Outcome.CRASHED
    # What the machine did afterwards unsays no complaint.
    if facts.complaint:
        return Outcome.FAILED
    if facts.machines:
        return Outcome.INFRA
    if said in (Said.FAILED, Said.EXCUSED) and _is_ours(facts):
        return Outcome.INFRA
    if facts.kernels:
        return Outcome.FAILED
    return {
        Said.PASSED: Outcome.PASSED,
        Said.FAILED: Outcome.FAILED,
        Said.SKIPPED: Outcome.SKIPPED,
        Said.EXCUSED: Outcome.XFAILED,
        Said.UNRAISED: Outcome.XPASSED,
    }[said]


def of_test(phases: Sequence[Phase]) -> tuple[int, str]:
    """The number of the phase that decides, and the message of an earlier one that belongs before its own.

    A failure does not hide the end of the VM. The machine's fault hides all but what the kernel complained of
    nonetheless: nothing else was learned about a machine that is gone.
    """
    deciding, before = 0, ""
    for number, later in enumerate(phases):
        earlier, decides = phases[deciding], False
        match earlier.outcome:
            case Outcome.PASSED | Outcome.SKIPPED | Outcome.XFAILED:
                decides = later.outcome is not Outcome.PASSED
            case Outcome.FAILED | Outcome.XPASSED:
                decides = later.outcome in (Outcome.CRASHED, Outcome.HUNG)
            case Outcome.INFRA:
                decides = later.outcome.bad and any(not splat.expected for splat in later.splats)
            case Outcome.CRASHED | Outcome.HUNG:
                pass
        if decides:
            before = earlier.message if earlier.outcome is Outcome.INFRA else ""
            deciding = number
    return deciding, before


def first_wrong(phases: Sequence[Phase]) -> str:
    """Where the test first went another way than passing, as :attr:`kfunctest.results.Result.phase` has it."""
    first = next((phase for phase in phases if phase.outcome is not Outcome.PASSED), None)
    return "" if first is None else "boot" if first.booting else first.name


def _is_ours(facts: Facts) -> bool:
    """Whether the error is a fault of ours or of this machine's: any but a finding is, where no kernel runs yet."""
    if isinstance(facts.error, GuestError):
        return facts.error.kind in _NO_KERNELS_IN_GUEST
    if not isinstance(facts.error, Exception) or isinstance(facts.error, _FINDINGS):
        return False
    return isinstance(facts.error, _NO_KERNELS) or not facts.runs
