# SPDX-License-Identifier: GPL-2.0-only
"""Runs of the suite on an image, and what they say once it is told apart what is the kernel's doing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from kfunctest.bisect.types import Kind, Made, Purpose, Trial
from kfunctest.errors import EXIT_USAGE, InfraError, SpecError
from kfunctest.reports.sanitize import one_line
from kfunctest.results import Outcome, Result
from kfunctest.trial import reading
from kfunctest.trial.reading import Fault, SuiteRun
from kfunctest.trial.trials import ALL, Image, Trials

#: A test that no file holds: whether the kernel has any of the kfuncs. Without them the suite boots nothing.
PRESENCE: Final = "(the kernel has the kfuncs)"
#: Another: whether the kernel complains while no test runs.
BETWEEN: Final = "(the kernel is quiet between tests)"
#: pytest's status where it collected no test.
_NO_TESTS: Final = 5
#: Words, each with a value, that let a run end early. Others may spread it over processes.
_PLAIN: Final = ("-k", "-m", "--accel")
_GOOD: Final = (Outcome.PASSED, Outcome.XFAILED)


@dataclass(frozen=True, slots=True)
class Selection:
    """What is asked of a kernel: files or ids of tests, and pytest's further words."""

    tests: tuple[str, ...] = ALL
    words: tuple[str, ...] = ()
    #: How many bad ones are enough; 0: all are run.
    enough: int = 0

    def only(self, voters: Sequence[str]) -> Selection:
        """These tests alone; all, where one of them is no test that can be run by itself."""
        if BETWEEN in voters:
            return self
        named = tuple(voter for voter in voters if voter != PRESENCE)
        return Selection(named, tuple(_without_selection(self.words))) if named else self

    def until(self, enough: int) -> Selection:
        """The same, until so many are bad; to the end where the words may spread it over processes."""
        return replace(self, enough=enough) if all(word in _PLAIN for word in self.words[::2]) else self

    def functions(self) -> Selection:
        """The same tests with all their parameters: not every kernel has the same ones."""
        return replace(self, tests=tuple(dict.fromkeys(test.partition("[")[0] for test in self.tests)))


def _without_selection(words: Sequence[str]) -> Iterable[str]:
    """The words without -k and its expression: it has chosen already."""
    skip = False
    for word in words:
        if skip or word.startswith("-k"):
            skip = word == "-k" and not skip
            continue
        yield word


@dataclass
class ImageTrials(Trials):
    """Trials of built images, each as data that a bisection weighs."""

    _runs: Counter[str] = field(default_factory=Counter)

    def trial(self, made: Made, commit: str, purpose: Purpose, tests: Selection) -> Trial:
        """What these tests find on this image.

        Raises InfraError where the machine kept them from being run, SpecError where they cannot be asked for.
        """
        if not made.kfuncs:
            missing = "none of the kfuncs"
            return Trial(made.image, commit, purpose, {PRESENCE: str(Outcome.FAILED)}, {PRESENCE: missing})
        self._runs[commit] += 1
        # What is in the log has its number again; else earlier runs of this commit keep their directories.
        number = self._runs[commit] if self.log else 1 + sum(1 for _ in self.folder.glob(f"{commit[:12]}-*"))
        words = (*tests.words, f"--maxfail={tests.enough}") if tests.enough else tests.words
        image = Image(made.folder, made.release, made.image)
        ran = self.run(image, f"{commit[:12]}-{number}", words, tests.tests)
        cut = tests.enough > 0 and ran.fault is Fault.ENOUGH
        skipped = ran.fault is Fault.NOTHING_JUDGED and bool(ran.results)
        if ran.fault and not cut and not skipped:
            wrong = ran.status in (EXIT_USAGE, _NO_TESTS)
            raise (SpecError if wrong else InfraError)(f"the tests could not be run: {ran.problem}")
        return replace(_trial(ran, made, commit, purpose), cut=cut)


def _trial(ran: SuiteRun, made: Made, commit: str, purpose: Purpose) -> Trial:
    noisy = reading.unexpected_between(ran.run) if ran.run else []
    found = ran.results
    bad = {test: one for test, one in found.items() if one.outcome.bad or one.outcome is Outcome.INFRA}
    outcomes = {test: str(one.outcome) for test, one in found.items()}
    outcomes |= {PRESENCE: str(Outcome.PASSED), BETWEEN: str(Outcome.FAILED if noisy else Outcome.PASSED)}
    messages = {test: one_line(one.message) for test, one in bad.items()}
    if noisy:
        messages[BETWEEN] = noisy[0]
    return Trial(
        image=made.image,
        commit=commit,
        purpose=purpose,
        outcomes=outcomes,
        messages=messages,
        reproduce={test: one.reproduce for test, one in bad.items() if one.reproduce},
        problem=_never_booted(found.values()),
        folder=str(ran.folder),
        seconds=ran.seconds,
        took={test: one.seconds for test, one in bad.items()},
        untested=tuple(f"{one.kind} {one.name}" for one in ran.untested),
    )


def _never_booted(found: Iterable[Result]) -> str:
    """Why no test was reached at all, where the kernel died each time before it had booted."""
    judged = [one for one in found if one.outcome is not Outcome.SKIPPED]
    dead = [one for one in judged if one.outcome is Outcome.CRASHED and one.phase == "boot"]
    return f"it does not boot: {one_line(dead[0].message)}" if dead and len(dead) == len(judged) else ""


def bad_in(trial: Trial, tests: Iterable[str]) -> list[str]:
    """Those of ``tests`` that speak against the kernel in this trial."""
    return [test for test in tests if test in trial.outcomes and Outcome(trial.outcomes[test]).bad]


def good_in(trial: Trial, tests: Iterable[str]) -> list[str]:
    """Those of ``tests`` that speak for it: neither skipped nor left unjudged."""
    return [test for test in tests if test in trial.outcomes and Outcome(trial.outcomes[test]) in _GOOD]


def unclear_in(trial: Trial, tests: Iterable[str]) -> list[str]:
    """Those of ``tests`` that the machine kept from judging."""
    return [test for test in tests if trial.outcomes.get(test) == Outcome.INFRA]


def counting(found: Iterable[Trial], voters: Sequence[str]) -> list[Trial]:
    """Those that say what these voters have to say: one that ended early does by a bad one of them alone."""
    return [trial for trial in found if not trial.cut or bad_in(trial, voters)]


def untested(found: Iterable[Trial]) -> str:
    """What no test covers of the images of these trials, as the end of a sentence; empty where there is nothing.

    It makes no commit bad, nor untestable: the tests that separate the ends have said what they say.
    """
    names = dict.fromkeys(name for trial in found for name in trial.untested)
    return f"; no test covers its {', '.join(names)}" if names else ""


def kind(trial: Trial, voters: Sequence[str]) -> Kind:
    """What the voters say of the image in this one trial; a crash of the kernel is as bad as a failure."""
    if trial.problem:
        return Kind.UNTESTABLE
    if bad_in(trial, voters):
        return Kind.BAD
    return Kind.GOOD if good_in(trial, voters) else Kind.UNTESTABLE


def weigh(kinds: Sequence[Kind], *, flaky: bool, tries: int) -> Kind | None:
    """What several trials of one image come to; None where another one is needed.

    Where the bad end is not always bad, ``tries`` good ones make a commit good and a single bad one makes it bad. Else
    one is enough, and where two contradict each other the majority of ``tries`` counts.
    """
    bad, good = kinds.count(Kind.BAD), kinds.count(Kind.GOOD)
    if kinds and not bad and not good:
        return Kind.UNTESTABLE
    if flaky:
        return Kind.BAD if bad else Kind.GOOD if good >= tries else None
    if bad and good:
        return None if bad + good < tries else Kind.BAD if bad >= good else Kind.GOOD
    return Kind.BAD if bad else Kind.GOOD if good else None
