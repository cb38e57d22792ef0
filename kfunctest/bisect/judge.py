# SPDX-License-Identifier: GPL-2.0-only
"""One commit, one verdict: by argument, by an image that is known, or by a build and a run."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from kfunctest.bisect import build_impact, trials
from kfunctest.bisect.build_impact import Change
from kfunctest.bisect.state import Memory
from kfunctest.bisect.trials import ImageTrials, Selection
from kfunctest.bisect.types import Ends, Kind, Made, Place, Purpose, Trial, Verdict
from kfunctest.errors import InfraError, SpecError
from kfunctest.kernels.kbuild_deps import Inputs
from kfunctest.reports.sanitize import one_line


class Builds(Protocol):
    """What :class:`kfunctest.bisect.builder.Builder` does."""

    def make(self, commit: str) -> Made: ...

    def changes(self, old: str, new: str) -> list[Change]: ...

    def evidence(self, made: Made) -> tuple[Inputs | None, str]: ...

    def configuration(self, commit: str) -> str | None: ...


class Refuted(Exception):
    """A commit that was held for another one's image comes to another image when it is built."""


@dataclass
class Judge:
    """Judges commits by ``tests``; what it finds out goes into ``memory`` before it is used."""

    builds: Builds
    trials: ImageTrials
    memory: Memory
    tests: Selection
    say: Callable[[str], None]
    tries: int = 3
    #: Whether a commit may be held for another one's image without being built.
    argues: bool = True

    def place(self, commit: str, *, built: bool = False) -> Place:
        """The kernel that this commit comes to; with ``built`` by a build and by no argument.

        Raises InfraError, and Refuted where a build shows an argument to be wrong.
        """
        known = self.memory.places.get(commit)
        if known and not (built and known.same_as):
            return known
        start = time.monotonic()
        found = None if built or not self.argues else self._argued(commit)
        if found is None:
            found = self._built(commit)
        if known and known.image != found.image:
            raise Refuted(f"{commit[:12]} was held for the image of {known.same_as[:12]} ({known.argument})")
        return self.memory.place(replace(found, seconds=time.monotonic() - start))

    def _built(self, commit: str) -> Place:
        try:
            return Place(commit, made=self.builds.make(commit))
        except SpecError as error:
            return Place(commit, problem=one_line(error.problem))

    def _argued(self, commit: str) -> Place | None:
        """The place of a judged commit that differs from this one in nothing that its build reads."""
        images: set[str] = set()
        for base in reversed(self.memory.places.values()):
            if base.same_as or (base.image and base.image in images):
                continue
            images.add(base.image)
            if (why := self._same(base, commit)) is not None:
                return Place(commit, problem=base.problem, same_as=base.commit, argument=why, made=base.made)
        return None

    def _same(self, base: Place, commit: str) -> str | None:
        """Why the commit comes to what ``base`` comes to; None where it may not."""
        read, config = self.builds.evidence(base.made) if base.made else (None, "")
        try:
            changes = self.builds.changes(base.commit, commit)
        except SpecError:  # its patches do not apply, which the build will say
            return None
        kinds = build_impact.untouched(changes, read, config)
        if kinds is None or (build_impact.KCONFIG in kinds and self.builds.configuration(commit) != config):
            return None
        return build_impact.words(kinds)

    def verdict(self, commit: str, ends: Ends) -> Verdict:
        """What the commit is. Raises InfraError where the machine cannot tell."""
        place = self.place(commit)
        made = place.made
        if made is None:
            return Verdict(commit, Kind.UNTESTABLE, place.problem, place)
        if lacking := [name for name in ends.kfuncs if name not in made.kfuncs]:
            why = f"it has no {', '.join(lacking)} yet, which both ends have"
            return Verdict(commit, Kind.UNTESTABLE, why, place)
        while (kind := self._weighed(place, ends)) is None:
            self.trial(place, Purpose.VOTE, ends, enough=1)
        found = self.of(place, ends)
        return Verdict(commit, kind, _reason(found, kind, ends), place, tuple(found))

    def of(self, place: Place, ends: Ends) -> list[Trial]:
        """The trials of the commit's image that say what the voters have to say."""
        return trials.counting(self.memory.of(place.image), ends.voters)

    def _weighed(self, place: Place, ends: Ends) -> Kind | None:
        kinds = [trials.kind(trial, ends.voters) for trial in self.of(place, ends)]
        return trials.weigh(kinds, flaky=ends.flaky, tries=self.tries)

    def trial(
        self, place: Place, purpose: Purpose, ends: Ends | None = None, *, enough: int = 0, functions: bool = False
    ) -> Trial:
        """One more run on the commit's image, of all tests or of those that have a vote.

        It ends when ``enough`` are bad: one is for a commit on the way, which no other test could make good again. What
        says nothing by that is run to its end. With ``functions`` those that have a vote are run with all parameters.
        What the machine may have spoilt is asked once more, after the good end has shown that the machine can do it.
        """
        place = self._there(place)
        assert place.made
        tests = first = self.tests.only(ends.voters) if ends else self.tests
        if not ends or tests is not self.tests:
            tests = tests.functions() if functions else tests
            first = tests.until(enough)
        trial = self.trials.trial(place.made, place.commit, purpose, first)
        if trial.cut and (trial.problem or not trials.bad_in(trial, ends.voters if ends else trial.outcomes)):
            trial = self.trials.trial(place.made, place.commit, purpose, tests)
        if ends and self._unclear(trial, ends.voters):
            self._check_machine(ends, trial)
            trial = self.trials.trial(place.made, place.commit, purpose, tests)
            if unclear := self._unclear(trial, ends.voters):
                why = trial.messages.get(unclear[0], "")
                trial = replace(trial, problem=f"it cannot be judged, and the good end can, twice: {why}")
        return self.memory.trial(trial)

    def _there(self, place: Place) -> Place:
        """The same with its kernel built once more, where somebody has removed that from the cache.

        Raises SpecError where it does not build any more.
        """
        if place.made is None or Path(place.made.folder).is_dir():
            return place
        return self.memory.place(replace(place, made=self.builds.make(place.same_as or place.commit)))

    def _unclear(self, trial: Trial, voters: Sequence[str]) -> list[str]:
        return [] if trial.problem or trials.bad_in(trial, voters) else trials.unclear_in(trial, voters)

    def _check_machine(self, ends: Ends, trial: Trial) -> None:
        """Raise InfraError unless the good end can be judged here and now."""
        why = next(iter(trial.messages.values()), "")
        known = self.memory.places.get(ends.good)
        known = self._there(known) if known else None
        if known is None or known.made is None:
            raise InfraError(f"this machine cannot judge any more: {why}", remedy="mend it, and run this again")
        self.say(f"  it could not be judged ({why}): is it the machine? the good end once more")
        again = self.trials.trial(known.made, known.commit, Purpose.AGAIN, self.tests.only(ends.voters))
        if not trials.good_in(again, ends.voters) or self._unclear(again, ends.voters):
            raise InfraError(
                f"this machine cannot judge any more, not even the good end: {why}",
                remedy="mend it, and run this again",
            )


def _reason(found: Sequence[Trial], kind: Kind, ends: Ends) -> str:
    """The verdict in one line: how often what was seen."""
    kinds = [trials.kind(trial, ends.voters) for trial in found]
    if kind is Kind.UNTESTABLE:
        first = next((trial.problem for trial in found if trial.problem), "")
        return first or "none of the tests that separate the ends applies to it"
    runs = f"{kinds.count(kind)} of {len(kinds)} runs" if len(kinds) > 1 else "1 run"
    unknown = trials.untested(found)
    if kind is Kind.GOOD:
        return f"the tests that failed at the bad end pass ({runs}){unknown}"
    first_bad = next(trial for trial in found if trials.bad_in(trial, ends.voters))
    test = trials.bad_in(first_bad, ends.voters)[0]
    said = first_bad.messages.get(test, "")
    return f"{test.rpartition('::')[2]} {first_bad.outcomes[test]}{f': {said}' if said else ''} ({runs}){unknown}"
