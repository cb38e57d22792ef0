# SPDX-License-Identifier: GPL-2.0-only
"""Proof, before any other commit is built, that the good end is good and the bad end bad; and which tests show it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from kfunctest.bisect import trials
from kfunctest.bisect.judge import Judge
from kfunctest.bisect.types import BREAK, FIX, Ends, Kind, Place, Purpose, Terms, Trial
from kfunctest.errors import SpecError
from kfunctest.results import Outcome

#: How many tests that fail at the bad end are enough to tell it from the good one, if one of them does.
ENOUGH: Final = 5
_LOST: Final = (Outcome.CRASHED, Outcome.HUNG)


class NotProven(SpecError):
    """The ends are not what they were said to be."""


class _NoneTells(Exception):
    """None of the first tests that fail at the bad end is reliably good at the good one."""


@dataclass
class Proof:
    """Proves the two ends by the judge's tests; ``before`` gives ever older commits than the one that was called good.

    ``named`` is a commit's id and subject. ``instead_of`` is the older revision that was asked for, where it is not an
    ancestor of the newer one, and the end is their merge base.
    """

    judge: Judge
    good: str
    bad: str
    before: Callable[[str], Iterator[str]]
    named: Callable[[str], str]
    terms: Terms = BREAK
    instead_of: str = ""
    #: The commit called good, where it was not good and an older one was taken in its place, and what was bad there.
    replaced: tuple[str, str] | None = field(default=None)

    def ends(self) -> Ends:
        """What separates them. Raises NotProven where nothing does, InfraError where the machine cannot tell."""
        bad = self._place(self.bad, Kind.BAD)
        try:
            return self._proven(bad, self._first_bad(bad, ENOUGH))
        except _NoneTells:
            self.judge.say("  none of the first tests that fail at the bad end tells the ends apart; all are run there")
        return self._proven(bad, self._first_bad(bad, 0))

    def _proven(self, bad: Place, made: Sequence[Trial]) -> Ends:
        suspects = self._suspects(made)
        more = all(trial.cut for trial in made if _all_bad(trial))
        good, seen = self._good(suspects, bad, more=more)
        voters = [test for test in suspects if test in trials.good_in(seen, suspects)]
        return self._repeated(good, bad, voters, suspects, more=more)

    def _place(self, commit: str, end: Kind) -> Place:
        place = self.judge.place(commit, built=True)
        if place.made is None:
            raise self._unjudged(commit, end, place.problem)
        return place

    def _end(self, commit: str, end: Kind) -> str:
        """An end as the user may find it on the command line, or why it is not there."""
        if self.instead_of and end is self.terms.old:
            return f"{self.named(commit)}, the merge base of --good and --bad,"
        return f"the {end} end {self.named(commit)}"

    def _unjudged(self, commit: str, end: Kind, why: str) -> NotProven:
        return NotProven(
            f"{self._end(commit, end)} cannot be judged: {why}", remedy=f"name another commit with --{end}"
        )

    def _beside(self, base: str, why: str) -> NotProven:
        """What the older revision differs by from the merge base came after that, beside the newer revision."""
        old, kind = self.named(self.instead_of), self.terms.old
        other = FIX if self.terms is BREAK else BREAK
        ends = f"--bad {base[:12]} --good {self.instead_of[:12]} --find fix"
        if other is BREAK:
            ends = f"--good {base[:12]} --bad {self.instead_of[:12]} without --find fix"
        return NotProven(
            f"{self._end(base, kind)} is not {kind} ({why}): it was {other.verb} between there and --{kind} {old}",
            remedy=f"to find that, give {ends}",
        )

    def _first_bad(self, bad: Place, enough: int) -> list[Trial]:
        """Trials of the bad end by all tests, or until ``enough`` are bad, until one is bad."""
        there = [trial for trial in self.judge.memory.of(bad.image) if trial.purpose is Purpose.WHOLE]
        made = there if enough else [trial for trial in there if not trial.cut]
        while not any(map(_all_bad, made)):
            if made and made[-1].problem:
                raise self._unjudged(self.bad, Kind.BAD, made[-1].problem)
            if len(made) >= max(self.judge.tries, 1):
                if self.instead_of and self.terms is FIX:
                    raise self._beside(self.bad, f"{_passed(made[-1])} in {len(made)} runs")
                other = "fixed since? see --find fix" if self.terms is BREAK else "broken since? leave --find fix out"
                raise NotProven(
                    f"the bad end {self.named(self.bad)} is not bad: {_passed(made[-1])} in {len(made)} runs",
                    remedy=f"name the test that fails there; is it flaky? see --tries; was it {other}",
                )
            made.append(self.judge.trial(bad, Purpose.WHOLE, enough=enough))
        return made

    def _suspects(self, made: Sequence[Trial]) -> list[str]:
        """Those that were bad, the quickest of them first: on most commits it is enough.

        Those that lost their VM are the last, for what is left of the kernel is no place for another test.
        """
        bad = [(trial, test) for trial in made for test in _all_bad(trial)]
        took = {test: trial.took.get(test, 0.0) for trial, test in bad}
        lost = {test for trial, test in bad if trial.outcomes[test] in _LOST}
        quickest = min(took, key=lambda test: (test in lost, took[test]), default="")
        return sorted(took, key=lambda test: (test in lost, test != quickest))

    def _good(self, suspects: Sequence[str], bad: Place, *, more: bool) -> tuple[Place, Trial]:
        """The good end, or the nearest older commit that is one; and the trial that shows it.

        Raises _NoneTells where the good end is bad by these suspects, and the bad end may have ``more`` of them.
        """
        for number, commit in enumerate(self._candidates()):
            place = self._place(commit, Kind.GOOD) if number == 0 else self.judge.place(commit, built=True)
            if place.made is None:
                continue
            if place.image == bad.image and number == 0:
                self.judge.say(f"  {self.named(commit)} comes to the same image as the bad end")
            seen = self._asked(place, suspects)
            if trials.good_in(seen, suspects):
                self.good = commit
                return place, seen
            if more:
                raise _NoneTells
            shown = trials.bad_in(seen, suspects)
            what = seen.problem or f"{len(shown)} of {len(suspects)} tests that fail at the bad end fail there, too"
            if self.instead_of and self.terms is BREAK:
                beside = shown and not seen.problem
                raise self._beside(commit, what) if beside else self._unjudged(commit, Kind.GOOD, what)
            further = "; looking further back" if self.terms is BREAK else ""
            self.judge.say(f"  {self.named(commit)} is not good: {what}{further}")
            self.replaced = self.replaced or (commit, what)
        why = self.replaced[1] if self.replaced else ""
        before = ", and nothing before it" if self.terms is BREAK else ""
        raise NotProven(
            f"the good end {self.named(self.good)} is not good{before}: {why}",
            remedy=f"name {self.terms.other_good} with --good",
        )

    def _asked(self, place: Place, suspects: Sequence[str]) -> Trial:
        """What the suspects say of this commit: no other test can tell it from the bad end."""
        asked = Ends(tuple(suspects), self.good)
        there = [trial for trial in self._of(place, asked) if set(suspects) <= set(trial.outcomes)]
        return there[0] if there else self.judge.trial(place, Purpose.VOTE, asked, functions=True)

    def _candidates(self) -> Iterator[str]:
        yield self.good
        if self.terms is BREAK:
            yield from self.before(self.good)

    def _repeated(self, good: Place, bad: Place, voters: Sequence[str], suspects: Sequence[str], *, more: bool) -> Ends:
        """The ends once more, as often as asked for: what changes at the good end has no vote at the bad one."""
        kfuncs = tuple(sorted(set(good.made.kfuncs if good.made else ()) & set(bad.made.kfuncs if bad.made else ())))
        asked = Ends(tuple(voters), self.good, kfuncs=kfuncs)
        self._repeat(good, asked)
        unsteady = {test for trial in self._of(good, asked) for test in trials.bad_in(trial, voters)}
        steady = tuple(voter for voter in voters if voter not in unsteady)
        if not steady and more:
            raise _NoneTells
        if not steady:
            raise NotProven(
                f"{self._end(self.good, Kind.GOOD)} is not always good: {min(unsteady)} fails there, too",
                remedy=f"name {self.terms.other_good} with --good, or a test that always passes there",
            )
        asked = replace(asked, voters=steady)
        self._repeat(bad, asked, enough=1)
        shown = [bool(trials.bad_in(trial, steady)) for trial in self._of(bad, asked)]
        void = tuple(test for test in suspects if test not in steady)
        return Ends(steady, self.good, void, kfuncs, sum(shown), len(shown))

    def _repeat(self, place: Place, asked: Ends, *, enough: int = 0) -> None:
        while len(self._of(place, asked)) < self.judge.tries and not self._stopped(asked):
            self.judge.trial(place, Purpose.VOTE, asked, enough=enough)

    def _of(self, place: Place, ends: Ends) -> list[Trial]:
        """The trials that count for this end: the first ones, up to as many as were asked for."""
        made = [trial for trial in self.judge.of(place, ends) if trial.purpose is not Purpose.AGAIN]
        return [trial for trial in made if set(ends.voters) & set(trial.outcomes)]

    def _stopped(self, ends: Ends) -> bool:
        """Whether a further run would show nothing: a kernel without the kfuncs is not booted."""
        return set(ends.voters) == {trials.PRESENCE}


def _all_bad(trial: Trial) -> list[str]:
    return trials.bad_in(trial, trial.outcomes)


def _passed(trial: Trial) -> str:
    good = len(
        trials.good_in(trial, [test for test in trial.outcomes if test not in (trials.PRESENCE, trials.BETWEEN)])
    )
    unclear = [test for test, outcome in trial.outcomes.items() if outcome == Outcome.INFRA]
    return f"{good} tests pass{f', {len(unclear)} could not be judged' if unclear else ''}"
