# SPDX-License-Identifier: GPL-2.0-only
"""Each fault, between two tests that must be judged: the right outcome, in time, and nothing left behind.

``tox -e faults``; one of them: ``pytest tests/faults -m faults -k panic``. The kernel is 7.2-faults, which has LKDTM.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from kfunctest import proc
from kfunctest.machine import accelerator
from kfunctest.results import Outcome
from tests.faults.running import Ended, run
from tests.faults.table import BAD, FAULTS, INFRA, KILLED, Fault, suite_test

pytestmark = pytest.mark.faults

#: Or another that has LKDTM, which $KFUNCTEST_FAULTS_KERNEL names.
KERNEL = os.environ.get("KFUNCTEST_FAULTS_KERNEL", "7.2-faults")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault(fault: Fault, tmp_path: Path) -> None:
    test = suite_test(fault)
    ended = run(tmp_path, KERNEL, ("test_before", test, "test_after"), *fault.options)
    assert not ended.problem, ended
    assert ended.run, ended
    result = ended.result(test)
    assert result.outcome is fault.outcome, ended
    assert re.search(fault.says, result.message), f"{fault.says!r} is not in {result.message!r}\n{ended}"
    assert set(fault.splats) <= {splat.kind for splat in result.splats}, ended
    # Of a hang a reader of the report must learn the cause; the console is what a lost agent's kernel leaves.
    shown = result.details if fault.outcome is Outcome.HUNG else "".join([result.details, result.log, *ended.consoles])
    assert re.search(fault.shows, shown), f"{fault.shows!r} is not shown\n{ended}"
    assert result.seconds <= fault.seconds * accelerator.choose(None).slowdown, ended
    assert_the_others_passed(ended)
    assert ended.status == fault.status, ended
    assert "--kernel" in result.reproduce or fault.outcome is Outcome.PASSED, ended


def assert_the_others_passed(ended: Ended) -> None:
    assert ended.run, ended
    assert not ended.run.unreached, ended
    assert not ended.run.between, ended
    for name in ("test_before", "test_after"):
        found = ended.result(name)
        assert found.outcome is Outcome.PASSED, f"{found}\n{ended}"
        assert not found.splats, f"{found}\n{ended}"


def test_a_run_that_is_killed(tmp_path: Path) -> None:
    ended = run(tmp_path, KERNEL, ("test_before", "test_run_killed", "test_after"))
    assert ended.status == KILLED, ended
    assert ended.problem, "a run that was killed must never look whole"
    assert ended.run, ended
    assert not ended.run.complete
    assert ended.result("test_before").outcome is Outcome.PASSED
    assert {test.rpartition("::")[2] for test, _ in ended.run.unreached} == {"test_run_killed", "test_after"}


def test_a_full_disk_for_the_results(tmp_path: Path) -> None:
    """In a mount namespace of its own, where the folder of results is a file system of four pages."""
    place = tmp_path / "results"
    place.mkdir()
    enter = [proc.need("unshare"), "--mount", "--map-root-user", "sh", "-c"]
    enter += ['mount -t tmpfs -o size=16k none "$0" && exec "$@"', str(place)]
    ended = run(tmp_path, KERNEL, ("test_before", "test_after"), wrapper=enter)
    assert "2 passed" in ended.text, ended
    lines = [line for line in ended.text.splitlines() if re.search(r"No space left|disk is full|no space", line)]
    assert len(lines) == 1, ended
    assert str(place) in lines[0], ended
    assert ended.status == INFRA, ended
    assert "Traceback" not in ended.text, ended


def test_a_panic_is_worse_than_what_the_machine_did(tmp_path: Path) -> None:
    """Both in one run: its status is the kernel's."""
    tests = ("test_agent_killed", "test_panic", "test_qemu_killed", "test_before", "test_after")
    ended = run(tmp_path, KERNEL, tests)
    found = [ended.result(name).outcome for name in tests[:3]]
    assert found == [Outcome.INFRA, Outcome.CRASHED, Outcome.INFRA], ended
    assert_the_others_passed(ended)
    assert ended.status == BAD, ended
