# SPDX-License-Identifier: GPL-2.0-only
"""The whole bisection: the ends, git's commits one by one, and the culprit and its parents once more."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from kfunctest import shell
from kfunctest.bisect import trials
from kfunctest.bisect.check_endpoints import Proof
from kfunctest.bisect.git_bisect import History, State
from kfunctest.bisect.judge import Judge, Refuted
from kfunctest.bisect.types import BREAK, Ends, Kind, Place, Purpose, Terms, Verdict
from kfunctest.errors import SpecError

#: How often a bisection begins anew because the last look at the culprit contradicted an earlier one.
_ROUNDS: Final = 4
#: How far back an older good end is looked for: by 1, 2, 4, ... commits.
_DOUBLINGS: Final = 14


@dataclass(frozen=True, slots=True)
class Step:
    """One commit that git asked for, and the seconds that its verdict took."""

    verdict: Verdict
    seconds: float
    left: int


@dataclass(frozen=True, slots=True)
class Checked:
    """The culprit or one of its parents, run again: ``bad`` of ``runs`` runs of its image were bad."""

    commit: str
    kind: Kind
    bad: int
    runs: int
    why: str


@dataclass(frozen=True, slots=True)
class Found:
    """What a bisection came to. ``confirmed``: the culprit and its parents are what they should be when run again."""

    ends: Ends
    good: str
    bad: str
    steps: tuple[Step, ...]
    log: str
    culprit: str = ""
    suspects: tuple[str, ...] = ()
    again: tuple[Checked, ...] = ()
    confirmed: bool = False
    #: The commit that was called good, and why it is not, where an older one was taken.
    replaced: tuple[str, str] | None = None
    #: What was learned on the way that the reader must know, one line each.
    notes: tuple[str, ...] = ()
    terms: Terms = BREAK


@dataclass
class Walk:
    """Finds the first bad commit of ``history`` between two ends; or the first good one, by the history's terms.

    ``bases`` are their merge bases, where the older end is no ancestor of the newer one. (ancestry.merge_bases)
    """

    history: History
    judge: Judge
    good: str
    bad: str
    say: Callable[[str], None]
    bases: tuple[str, ...] = ()
    steps: list[Step] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def run(self) -> Found:
        """From the proof of the ends to the culprit's second look.

        Raises NotProven, SpecError where git cannot bisect this, InfraError where the machine is at fault: what was
        found so far is kept, and the next run goes on from there.
        """
        instead_of = self._part() if self.bases else ""
        self.say(f"bad end  {self.history.short(self.bad)}\ngood end {self.history.short(self.good)}")
        proof = Proof(self.judge, self.good, self.bad, self._before, self.history.short, self.history.terms, instead_of)
        ends = proof.ends()
        self.good = proof.good
        self._say_proof(ends)
        begun = 0
        while True:
            begun += 1
            try:
                state = self._walked(ends)
                again = self._again(state.culprit, ends) if state.culprit else ()
            except Refuted as wrong:
                self._note(f"{wrong}, and is not; from there on every commit was built")
                self.judge.argues = False
                self.judge.memory.forget_arguments()
                continue
            found = self._found(ends, state, again, proof)
            if begun >= _ROUNDS or not again or not _contradicted(again, self.history.terms):
                return found
            self._note(f"{state.culprit[:12]} did not hold when it was run again; the walk began anew")

    def _part(self) -> str:
        """Take a merge base for the older end, as git tests these first; returns that end."""
        terms = self.history.terms
        old, new = terms.in_order(self.good, self.bad)
        base = self.bases[0]
        self.good, self.bad = (base, new) if terms.old is Kind.GOOD else (new, base)
        names = " and ".join(map(self.history.short, self.bases))
        plural = "s" if len(self.bases) > 1 else ""
        self._note(
            f"{self.history.short(old)} is not an ancestor of {self.history.short(new)}: tested instead, as git does: "
            f"the merge base{plural} {names}"
        )
        return old

    def _note(self, line: str) -> None:
        self.notes.append(line)
        self.say(f"  {line}")

    def _say_proof(self, ends: Ends) -> None:
        times = f"bad in {ends.bad} of {ends.runs} runs" if ends.runs > 1 else "bad"
        self.say(f"the ends are proven, by {_count(len(ends.voters), 'test')} (the bad end is {times})")
        for voter in ends.voters[:5]:
            self.say(f"  {voter}")
        if ends.void:
            self.say(
                f"  {len(ends.void)} others are bad at the bad end, and not reliably good at the good one: no vote"
            )

    def _before(self, commit: str) -> Iterator[str]:
        """Commits 1, 2, 4, ... generations before this one, by first parents."""
        words = ("rev-list", "--first-parent", f"--max-count={1 << _DOUBLINGS}", commit)
        older = self.history.git(*words).stdout.split()
        for doubling in range(_DOUBLINGS):
            if 1 << doubling < len(older) and not self.history.cut(self.bad, [older[1 << doubling]]):
                yield older[1 << doubling]

    def _walked(self, ends: Ends) -> State:
        self.steps = []
        old, new = self.history.terms.in_order(self.good, self.bad)
        state = self.history.start(new, [old, *self._other_bases(ends)])
        while state.next:
            self.say(f"{self._progress(state)} {self.history.short(state.next)}")
            start = time.monotonic()
            verdict = self.judge.verdict(state.next, ends)
            step = Step(verdict, time.monotonic() - start, state.steps)
            self.steps.append(step)
            self.say(f"  {verdict.kind}: {verdict.reason}{_how(verdict.place)} [{step.seconds:.0f} s]")
            state = self.history.answer(verdict.kind, state.next)
        return state

    def _other_bases(self, ends: Ends) -> Iterator[str]:
        """The merge bases beside the one that is an end: git would test these first, too.

        Raises SpecError where one is not of the older end's kind: what is looked for came on more than one way.
        """
        terms = self.history.terms
        for base in self.bases[1:]:
            self.say(f"merge base {self.history.short(base)}")
            verdict = self.judge.verdict(base, ends)
            self.say(f"  {verdict.kind}: {verdict.reason}")
            if verdict.kind is terms.new:
                raise SpecError(
                    f"the merge base {self.history.short(base)} of --good and --bad is {terms.new}, and the merge base "
                    f"{self.history.short(self.bases[0])} is {terms.old}",
                    remedy="name the second instead of the older revision",
                )
            if verdict.kind is terms.old:
                yield base

    def _progress(self, state: State) -> str:
        taken = [step.seconds for step in self.steps if step.seconds > 1.0]
        left = state.steps + 1
        mean = sum(taken) / len(self.steps) if taken else 0.0
        estimate = f", about {shell.span(mean * left)}" if taken else ""
        return (
            f"[step {len(self.steps) + 1}: {_count(state.left, 'commit')}, about {_count(left, 'step')} left{estimate}]"
        )

    def _again(self, culprit: str, ends: Ends) -> tuple[Checked, ...]:
        """The culprit and its parents, really built, and run at least once more."""
        commits = (culprit, *self.history.commit(culprit).parents)
        checked = []
        for commit in commits:
            self.say(f"once more: {self.history.short(commit)}")
            place = self.judge.place(commit, built=True)
            if place.made is not None and not place.problem:
                self._run_again(place, ends, bad=self._should_be(commit, culprit) is Kind.BAD)
            verdict = self.judge.verdict(commit, ends)
            kinds = [trials.kind(trial, ends.voters) for trial in verdict.trials]
            bad = kinds.count(Kind.BAD)
            checked.append(Checked(commit, verdict.kind, bad, bad + kinds.count(Kind.GOOD), verdict.reason))
            self.say(f"  {verdict.kind}: {verdict.reason}")
        return tuple(checked)

    def _should_be(self, commit: str, culprit: str) -> Kind:
        return self.history.terms.new if commit == culprit else self.history.terms.old

    def _run_again(self, place: Place, ends: Ends, *, bad: bool) -> None:
        """Run it once; where results are flaky, until it is bad, or as often as was asked for if it should be good."""
        wanted = self.judge.tries if ends.flaky else 1
        while True:
            made = [trial for trial in self.judge.of(place, ends) if trial.purpose is Purpose.AGAIN]
            kinds = [trials.kind(trial, ends.voters) for trial in made]
            if len(made) >= wanted or (bad and Kind.BAD in kinds):
                return
            self.judge.trial(place, Purpose.AGAIN, ends)

    def _found(self, ends: Ends, state: State, again: Sequence[Checked], proof: Proof) -> Found:
        terms = self.history.terms
        kinds = {one.kind for one in again[1:]}
        confirmed = bool(again) and again[0].kind is terms.new and terms.old in kinds and terms.new not in kinds
        return Found(
            ends=ends,
            good=self.good,
            bad=self.bad,
            steps=tuple(self.steps),
            log=self.history.log(),
            culprit=state.culprit,
            suspects=state.suspects,
            again=tuple(again),
            confirmed=confirmed,
            replaced=proof.replaced,
            notes=tuple(self.notes),
            terms=terms,
        )


def _contradicted(again: Sequence[Checked], terms: Terms) -> bool:
    """Whether git's answer cannot stand: the culprit is not what it should be any more, or a parent is that, too."""
    return again[0].kind is not terms.new or any(one.kind is terms.new for one in again[1:])


def _how(place: Place) -> str:
    return f"; not built: as {place.same_as[:12]}, since {place.argument}" if place.same_as else ""


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
