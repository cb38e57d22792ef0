# SPDX-License-Identifier: GPL-2.0-only
"""What a phase, a test and a run come to, by the facts alone, and which of several facts decides."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from kfunctest.errors import EXIT_INFRA, EXIT_USAGE, GuestError, InfraError, SpecError, VmDied, VmHung, VmLost
from kfunctest.plugin import outcome
from kfunctest.plugin.outcome import Facts, Phase, Said
from kfunctest.plugin.run_end import Known, status
from kfunctest.results import Outcome, Splat, read
from tests import childsuite

P, F, S, X, XP = Outcome.PASSED, Outcome.FAILED, Outcome.SKIPPED, Outcome.XFAILED, Outcome.XPASSED
C, H, I = Outcome.CRASHED, Outcome.HUNG, Outcome.INFRA  # noqa: E741 (as the terminal has them)

DIED, HUNG, LOST, INFRA = (
    VmDied("it panicked", ""),
    VmHung("no answer", ""),
    VmLost("QEMU died", ""),
    InfraError("full"),
)
#: What is known beyond pytest's word, and what it comes to whatever that is.
FACTS = {
    "hung": (Facts(Said.PASSED, HUNG), H),
    "died": (Facts(Said.PASSED, DIED), C),
    "oopsed": (Facts(Said.FAILED, GuestError("WorkerDied", "", ""), oopsed=True), C),
    "complaint": (Facts(Said.PASSED, complaint="the kernel complained"), F),
    "lost": (Facts(Said.PASSED, LOST), I),
    "machine": (Facts(Said.PASSED, INFRA), I),
    "request": (Facts(Said.PASSED, SpecError("no such kernel")), I),
}


@pytest.mark.parametrize("name", FACTS)
@pytest.mark.parametrize("said", Said)
def test_no_word_of_pytests_excuses_or_hides_what_became_of_the_vm(name: str, said: Said) -> None:
    facts, expected = FACTS[name]
    assert outcome.of_phase(Facts(said, facts.error, facts.oopsed, True, facts.complaint)) is expected


@pytest.mark.parametrize(("error", "expected"), [(HUNG, H), (DIED, C), (LOST, F), (INFRA, F)])
def test_a_complaint_outweighs_the_machines_fault_and_nothing_worse(error: Exception, expected: Outcome) -> None:
    assert outcome.of_phase(Facts(Said.FAILED, error, complaint="the kernel complained")) is expected


@pytest.mark.parametrize(
    ("said", "error", "runs", "expected"),
    [
        (Said.PASSED, None, True, P),
        (Said.SKIPPED, None, True, S),
        (Said.EXCUSED, AssertionError(), True, X),
        (Said.UNRAISED, None, True, XP),
        (Said.FAILED, AssertionError(), True, F),
        (Said.FAILED, GuestError("OSError", "", ""), True, F),
        (Said.FAILED, ZeroDivisionError(), True, F),
        (Said.FAILED, ZeroDivisionError(), False, I),
        (Said.FAILED, AssertionError(), False, F),
        (Said.FAILED, NameError(), True, I),
        (Said.EXCUSED, NameError(), True, I),
        (Said.FAILED, OSError(), True, I),
        (Said.FAILED, TimeoutError(), True, F),
        (Said.FAILED, GuestError("ImportError", "", ""), True, I),
    ],
)
def test_whose_fault_an_error_is(said: Said, error: BaseException | None, runs: bool, expected: Outcome) -> None:
    assert outcome.of_phase(Facts(said, error, runs=runs)) is expected


@pytest.mark.parametrize(("said", "expected"), list(zip(Said, (F, F, S, X, XP), strict=True)))
def test_a_complaint_that_did_not_come_fails_what_passed_and_changes_nothing_else(
    said: Said, expected: Outcome
) -> None:
    assert outcome.of_phase(Facts(said, absent="the kernel was expected to complain")) is expected


def phase(name: str, found: Outcome, *, complains: bool = False, booting: bool = False) -> Phase:
    splats = (Splat("warn", "WARNING", "WARNING"),) if complains else ()
    return Phase(name, found, message=name, splats=splats, booting=booting)


@pytest.mark.parametrize(
    ("first", "later", "decides"),
    [
        *((one, P, False) for one in Outcome),
        *((one, two, True) for one, two in product((P, S, X), Outcome) if two is not P),
        *((one, two, two in (C, H)) for one, two in product((F, XP), Outcome)),
        *((one, two, False) for one, two in product((C, H), Outcome)),
        *((I, two, False) for two in Outcome),
    ],
)
def test_which_of_two_phases_decides(first: Outcome, later: Outcome, decides: bool) -> None:
    number, before = outcome.of_test([phase("call", first), phase("teardown", later)])
    assert (number, before) == (int(decides), "")


@pytest.mark.parametrize("later", Outcome)
def test_the_machines_fault_hides_all_but_what_the_kernel_complained_of(later: Outcome) -> None:
    found = outcome.of_test([phase("call", I), phase("teardown", later, complains=True)])
    assert found == ((1, "call") if later.bad else (0, ""))


@pytest.mark.parametrize(
    ("phases", "expected"),
    [
        ([("setup", P), ("call", P), ("teardown", P)], ""),
        ([("setup", F), ("teardown", C)], "setup"),
        ([("setup", P), ("call", X), ("teardown", F)], "call"),
        ([("setup", P), ("call", P), ("teardown", F)], "teardown"),
        ([("setup", P), ("", I)], ""),
    ],
)
def test_where_a_test_first_went_wrong(phases: list[tuple[str, Outcome]], expected: str) -> None:
    assert outcome.first_wrong([phase(name, found) for name, found in phases]) == expected
    booting = [phase(name, found, booting=found is not P) for name, found in phases]
    assert outcome.first_wrong(booting) == ("boot" if any(found is not P for _, found in phases) else "")


OK, BAD, INTERRUPTED, INTERNAL, USAGE, NOTHING = range(6)


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (Known(OK), OK),
        (Known(NOTHING), NOTHING),
        (Known(BAD), EXIT_INFRA),
        (Known(OK, against=True), BAD),
        (Known(NOTHING, against=True), BAD),
        (Known(INTERNAL, against=True), BAD),
        (Known(USAGE, against=True, untold=True), USAGE),
        (Known(INTERRUPTED, against=True, untold=True), INTERRUPTED),
        (Known(INTERRUPTED, uncollected=True), INTERRUPTED),
        (Known(INTERRUPTED, by_itself=True), INTERRUPTED),
        (Known(INTERRUPTED, uncollected=True, by_itself=True), EXIT_USAGE),
        (Known(INTERRUPTED, against=True, uncollected=True, by_itself=True), BAD),
        (Known(OK, uncollected=True), EXIT_USAGE),
        (Known(EXIT_INFRA, uncollected=True), EXIT_INFRA),
        (Known(OK, untold=True), EXIT_INFRA),
        (Known(NOTHING, untold=True), EXIT_INFRA),
        (Known(OK, against=True, untold=True), BAD),
    ],
)
def test_the_status_of_a_run(known: Known, expected: int) -> None:
    assert status(known) == expected


ENDS = """
from kfunctest.errors import VmDied

def test_boots(kernel): raise VmDied("whatever it says", "", booting=True)
def test_second(kernel): assert 0
def test_third(kernel): pass
"""


@pytest.mark.parametrize(
    ("words", "enough", "stopped"),
    [
        ((), False, ""),
        (("--maxfail=2",), True, "stopping after 2 failures"),
        (("--maxfail=3",), False, ""),
    ],
)
def test_the_results_have_the_facts_that_others_decide_by(
    tmp_path: Path, image: Path, words: tuple[str, ...], enough: bool, stopped: str
) -> None:
    child = childsuite.write(tmp_path / "child", image, ENDS)
    child.judge(*words)
    run = read(child.latest / "results.jsonl")
    assert (run.enough, run.stopped) == (enough, stopped)
    assert [result.phase for result in run.results] == ["boot", "call", ""][: 2 if enough else 3]
