# SPDX-License-Identifier: GPL-2.0-only
"""What the verifier refuses and accepts. Each program stands in selftests/bpf, with its reason and its message.

The annotations are the kernel's own: ``__failure``, ``__success``, ``__msg("...")``. Where an older verifier words it
differently, or decides otherwise, that stands beside them, and is then what is expected of it.
"""

from __future__ import annotations

import pytest

from kfunctest.machine.bpf import Verdict
from kfunctest.verifier_annotations import Expectation

pytestmark = pytest.mark.kfunc(name="verifier")


@pytest.mark.bpf_programs("verifier_probe.bpf.c")
def test_the_verifier_is_of_a_known_generation(verdict: Verdict, program: str, expectation: Expectation) -> None:
    """One program tells which wording to expect of all others. A verifier that is new to us is held to the newest."""
    assert_refused(verdict, program, expectation)


@pytest.mark.bpf_programs("refused.bpf.c")
def test_the_verifier_refuses(verdict: Verdict, program: str, expectation: Expectation) -> None:
    """Refused by the newest verifier; by older ones too, unless the annotations say that they accept it."""
    assert_refused(verdict, program, expectation)


def assert_refused(verdict: Verdict, program: str, expectation: Expectation) -> None:
    """Refused as the annotations say, and the caller is told by the errno that stands there."""
    assert not (wrong := expectation.mismatch(verdict.accepted, verdict.log)), f"{program}: {wrong}"
    assert not (wrong := expectation.refused_wrongly(verdict.errno)), f"{program}: {wrong}"


@pytest.mark.slow_boot
@pytest.mark.bpf_programs("refused_contexts.bpf.c")
def test_the_verifier_refuses_where_it_must(verdict: Verdict, program: str, expectation: Expectation) -> None:
    assert_refused(verdict, program, expectation)


@pytest.mark.bpf_programs("refused_pointers.bpf.c")
def test_the_verifier_refuses_by_the_flags(verdict: Verdict, program: str, expectation: Expectation) -> None:
    """KF_ACQUIRE, KF_RET_NULL, KF_RELEASE, KF_RCU and that arguments are trusted, each in all that follows from it."""
    assert_refused(verdict, program, expectation)


@pytest.mark.bpf_programs("refused_license.bpf.c")
def test_the_verifier_refuses_a_license_other_than_gpl(
    verdict: Verdict, program: str, expectation: Expectation
) -> None:
    assert_refused(verdict, program, expectation)


@pytest.mark.bpf_programs("accepted.bpf.c")
def test_the_verifier_accepts(verdict: Verdict, program: str, expectation: Expectation) -> None:
    assert_accepted(verdict, program, expectation)


@pytest.mark.slow_boot
@pytest.mark.bpf_programs("accepted_contexts.bpf.c")
def test_the_verifier_accepts_where_it_may(verdict: Verdict, program: str, expectation: Expectation) -> None:
    assert_accepted(verdict, program, expectation)


@pytest.mark.slow_boot
@pytest.mark.bpf_programs("accepted_deferred.bpf.c")
def test_the_verifier_accepts_what_is_left_for_later(verdict: Verdict, program: str, expectation: Expectation) -> None:
    assert_accepted(verdict, program, expectation)


def assert_accepted(verdict: Verdict, program: str, expectation: Expectation) -> None:
    """Accepted, and where the annotations want it, run with the right result."""
    assert not (wrong := expectation.mismatch(verdict.accepted, verdict.log)), f"{program}: {wrong}"
    if expectation.retval is not None:
        assert verdict.retval == expectation.retval, (
            f"{program} was run: expected it to return {expectation.retval}, seen {verdict.retval}"
        )
