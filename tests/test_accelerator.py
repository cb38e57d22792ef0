# SPDX-License-Identifier: GPL-2.0-only
"""A KVM that works, one that interprets, one that refuses and one that hangs are told apart, inside 3 seconds."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from kfunctest.errors import InfraError
from kfunctest.machine import accelerator
from kfunctest.machine.accelerator import BRISK, KVM_EXIT_HLT, LIMIT, Verdict


@pytest.fixture(autouse=True)
def device(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A /dev/kvm that opens, and a cache of its own."""
    kvm = tmp_path / "kvm"
    kvm.touch()
    monkeypatch.setattr(accelerator, "KVM", kvm)
    monkeypatch.setenv("KFUNCTEST_CACHE", str(tmp_path / "cache"))
    return kvm


def refuse() -> tuple[int, float]:
    raise OSError(22, "Invalid argument")


def hang() -> tuple[int, float]:
    time.sleep(60)
    return KVM_EXIT_HLT, 0.0


def spin() -> tuple[int, float]:
    while True:
        pass


def test_hardware_is_used() -> None:
    assert accelerator.probe(lambda: (KVM_EXIT_HLT, 0.00004)) == Verdict(
        True, accelerator.probe(lambda: (KVM_EXIT_HLT, 0.00004)).why, conclusive=True
    )


def test_a_slow_kvm_is_used_with_the_deadlines_of_emulation(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = accelerator.probe(lambda: (KVM_EXIT_HLT, 10 * BRISK))
    assert slow.usable
    monkeypatch.setattr(accelerator, "probe", lambda: slow)
    for _ in ("probed", "remembered"):
        chosen = accelerator.choose()
        assert (chosen.name, chosen.slowdown) == ("kvm", accelerator.choose("tcg").slowdown)


def test_an_interpreter_is_recognised_by_its_speed() -> None:
    verdict = accelerator.probe(lambda: (KVM_EXIT_HLT, 5 * LIMIT))
    assert (verdict.usable, verdict.conclusive) == (False, True)
    assert "interprets kernel code" in verdict.why


def test_a_speed_in_between_is_not_remembered() -> None:
    verdict = accelerator.probe(lambda: (KVM_EXIT_HLT, 2 * LIMIT))
    assert (verdict.usable, verdict.conclusive) == (False, False)


def test_a_refusal_names_its_errno() -> None:
    verdict = accelerator.probe(refuse)
    assert (verdict.usable, verdict.conclusive) == (False, True)
    assert "Invalid argument" in verdict.why


def test_a_refusal_that_may_pass_is_not_remembered() -> None:
    def busy() -> tuple[int, float]:
        raise OSError(16, "Device or resource busy")

    verdict = accelerator.probe(busy)
    assert (verdict.usable, verdict.conclusive) == (False, False)


def test_kvm_that_is_asked_for_must_be_there(device: Path) -> None:
    device.unlink()
    with pytest.raises(InfraError, match=r"--accel kvm, but .* cannot be opened"):
        accelerator.choose("kvm")


def test_a_guest_that_faults_is_no_kvm() -> None:
    verdict = accelerator.probe(lambda: (8, 0.0))  # KVM_EXIT_SHUTDOWN: a triple fault
    assert (verdict.usable, verdict.conclusive) == (False, True)
    assert "exit reason 8" in verdict.why


@pytest.mark.parametrize("never, conclusive", [(hang, False), (spin, True)])
def test_a_hang_is_given_up_in_time(never: object, conclusive: bool) -> None:
    """One that burns CPU meanwhile interprets; one that sleeps says nothing for certain."""
    start = time.monotonic()
    verdict = accelerator.probe(never)  # type: ignore[arg-type]
    assert time.monotonic() - start < 3
    assert (verdict.usable, verdict.conclusive) == (False, conclusive)


def test_no_kvm_is_no_kvm(device: Path) -> None:
    device.unlink()
    assert accelerator.probe() == Verdict(False, "there is no /dev/kvm", conclusive=False)


def test_only_a_conclusive_answer_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [Verdict(False, "busy", conclusive=False), Verdict(False, "PVM", conclusive=True)]
    monkeypatch.setattr(accelerator, "probe", lambda: answers.pop(0))
    assert accelerator.choose().why == "busy"
    assert accelerator.choose().why == "PVM"
    assert accelerator.choose().why == "PVM", "a third probe would find no answer left"


def test_what_is_asked_for_is_taken() -> None:
    assert accelerator.choose("kvm").name == "kvm"
    assert accelerator.choose("tcg").vng_flags[0] == "--disable-kvm"
    assert accelerator.choose("kvm").vng_flags == ()
