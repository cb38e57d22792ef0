# SPDX-License-Identifier: GPL-2.0-only
"""What became of a mutant, from what the suite found on it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from kfunctest.mutate.catalogue import Mutant
from kfunctest.results import Outcome, Result, Run


class Fate(StrEnum):
    """What became of a mutant."""

    KILLED = "killed"
    #: No test of the right concern failed.
    SURVIVED = "survived"
    EQUIVALENT = "equivalent"
    NOT_BUILT = "not built"
    #: Nothing was learned: the machine, or a fixture that died before any test could judge.
    INFRA = "infra"


class How(StrEnum):
    """By what a test knew."""

    ASSERTION = "assertion"
    VERIFIER = "verifier message"
    SPLAT = "splat"
    CRASH = "crash"
    HANG = "hang"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the matrix. ``built`` and ``judged`` are seconds; ``key`` and ``suite`` tell what it is about."""

    id: str
    fate: Fate
    kind: str = ""
    #: Of a killed one: the test, and by what it knew.
    test: str = ""
    how: str = ""
    #: What that test said; why there is no verdict; the argument of an equivalent one.
    message: str = ""
    #: The first other test that failed on one that survived.
    elsewhere: str = ""
    built: float = 0.0
    judged: float = 0.0
    key: str = ""
    suite: str = ""
    folder: str = ""

    @property
    def good(self) -> bool:
        """Whether it is as it must be."""
        return self.fate in (Fate.KILLED, Fate.EQUIVALENT)


def killer(run: Run, mutant: Mutant) -> Result | None:
    """The first test of the right concern that failed by itself: not one whose fixture did."""
    return next((one for one in run.results if mutant.expects(one.test) and _speaks(one)), None)


def stranger(run: Run) -> Result | None:
    """The first test that failed by itself, of whatever concern."""
    return next((one for one in run.results if _speaks(one)), None)


def fixture(run: Run) -> Result | None:
    """The first test that came to nothing before it could judge: its fixture failed, or the machine did."""
    return next((one for one in run.results if (one.outcome.bad or _lost(one)) and not _speaks(one)), None)


def how(result: Result) -> How:
    """By what a failed test knew that the kernel is wrong."""
    if result.outcome is Outcome.CRASHED:
        return How.CRASH
    if result.outcome is Outcome.HUNG:
        return How.HANG
    if any(not splat.expected for splat in result.splats):
        return How.SPLAT
    return How.VERIFIER if result.verifier else How.ASSERTION


def _speaks(result: Result) -> bool:
    return result.outcome.bad and result.phase not in ("boot", "setup")


def _lost(result: Result) -> bool:
    return result.outcome is Outcome.INFRA
