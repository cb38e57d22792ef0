# SPDX-License-Identifier: GPL-2.0-only
"""What is found out about commits, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """What a commit is."""

    GOOD = "good"
    BAD = "bad"
    UNTESTABLE = "untestable"


@dataclass(frozen=True, slots=True)
class Terms:
    """What is looked for: the first commit of kind ``new`` after commits of kind ``old``.

    git has names of its own for the two sides. (git-bisect(1), "Alternate terms")
    """

    find: str
    old: Kind
    new: Kind
    git_old: str
    git_new: str
    #: What the commit is called that is found, in tables; and where it is looked for, which of two is meant.
    noun: str
    verb: str
    #: In which direction another good revision may be looked for.
    other_good: str

    def in_order(self, good: str, bad: str) -> tuple[str, str]:
        """The two revisions, the older one first."""
        return (good, bad) if self.old is Kind.GOOD else (bad, good)

    def git(self, kind: Kind) -> str:
        """What git calls a commit of this kind."""
        return {self.old: self.git_old, self.new: self.git_new}.get(kind, "skip")


BREAK: Final = Terms("break", Kind.GOOD, Kind.BAD, "good", "bad", "culprit", "broken", "an older commit")
FIX: Final = Terms("fix", Kind.BAD, Kind.GOOD, "broken", "fixed", "fix", "fixed", "a newer commit")
TERMS: Final = {terms.find: terms for terms in (BREAK, FIX)}


class Purpose(StrEnum):
    """What a trial was made for."""

    #: All tests that were asked for, on an end.
    WHOLE = "whole"
    #: The tests that have a vote.
    VOTE = "vote"
    #: The same once more, on the culprit and its parents.
    AGAIN = "again"


@dataclass(frozen=True, slots=True)
class Made:
    """A kernel that was built. ``folder`` is what ``--kernel`` takes; ``image`` tells images apart."""

    folder: str
    image: str
    release: str
    #: The family's functions in its BTF.
    kfuncs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """What is known of one commit before any test: the kernel that it comes to, or why it comes to none."""

    commit: str
    #: Why it has no image, in one line.
    problem: str = ""
    #: The commit whose image it is without having been built, and the argument for that; else empty.
    same_as: str = ""
    argument: str = ""
    #: What was built, here or at the commit ``same_as``.
    made: Made | None = None
    #: Seconds that it took to find out.
    seconds: float = 0.0

    @property
    def image(self) -> str:
        """What tells its image apart; empty where there is none."""
        return self.made.image if self.made else ""


@dataclass(frozen=True, slots=True)
class Trial:
    """One run of tests on one image: ``outcomes`` by test, and one line for each bad one."""

    image: str
    #: The commit that it was run for.
    commit: str
    purpose: Purpose
    outcomes: Mapping[str, str]
    messages: Mapping[str, str] = field(default_factory=dict)
    #: Command lines that repeat the bad ones.
    reproduce: Mapping[str, str] = field(default_factory=dict)
    #: Why nothing can be learned from this image, in one line: it does not boot.
    problem: str = ""
    folder: str = ""
    seconds: float = 0.0
    #: Seconds that each bad one took.
    took: Mapping[str, float] = field(default_factory=dict)
    #: Whether it ended when enough were bad: it says nothing of those that it did not get to.
    cut: bool = False
    #: Kfuncs and enumerators of the image that no test covers: nothing was learned about these, whatever the outcomes.
    untested: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ends:
    """What was proven of the two ends. ``voters`` are the tests that separate them, the quickest one first."""

    voters: tuple[str, ...]
    #: The good end.
    good: str = ""
    #: Bad at both ends, or not the same each time at the good one: they have no vote.
    void: tuple[str, ...] = ()
    #: The family's functions that both ends have: a commit without one of these is before, or beside, their time.
    kfuncs: tuple[str, ...] = ()
    #: How often the bad end was bad, and how often it was run.
    bad: int = 1
    runs: int = 1

    @property
    def flaky(self) -> bool:
        """Whether the bad end is not always bad."""
        return self.bad < self.runs


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a commit is, and why, in one line."""

    commit: str
    kind: Kind
    reason: str
    place: Place
    trials: tuple[Trial, ...] = ()
