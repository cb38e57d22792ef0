# SPDX-License-Identifier: GPL-2.0-only
"""A real kernel complains: each complaint finds its test, with its place in the source, and no other test."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kfunctest.results import Outcome
from tests.faults.running import run
from tests.faults.table import BAD

pytestmark = pytest.mark.faults

KERNEL = os.environ.get("KFUNCTEST_FAULTS_KERNEL", "7.2-faults")
SUITE = "tests/faults/suite/complaints.py"
#: Each test of the suite, what becomes of it, and the kinds of its complaints.
EXPECTED = {
    "test_before": (Outcome.PASSED, []),
    "test_warn": (Outcome.FAILED, ["warn"]),
    "test_after_warn": (Outcome.PASSED, []),
    "test_once": (Outcome.FAILED, ["refcount"]),
    "test_once_more": (Outcome.FAILED, ["refcount"]),
    "test_expected": (Outcome.PASSED, ["warn"]),
    "test_expected_in_vain": (Outcome.FAILED, []),
    "test_quirk": (Outcome.FAILED, ["warn"]),
    "test_none_running": (Outcome.PASSED, []),
    "test_after": (Outcome.PASSED, []),
}


def test_each_complaint_finds_its_test(tmp_path: Path) -> None:
    ended = run(tmp_path, KERNEL, tuple(EXPECTED), suite=SUITE)
    assert not ended.problem, ended
    found = {name: ended.result(name) for name in EXPECTED}
    assert {
        name: (result.outcome, [splat.kind for splat in result.splats]) for name, result in found.items()
    } == EXPECTED, ended
    assert "(drivers/misc/lkdtm/bugs.c:" in found["test_warn"].splats[0].text, ended
    assert ended.run, ended
    (between,) = ended.run.between
    assert (between.after.rpartition("::")[2], between.before.rpartition("::")[2]) == ("test_quirk", "test_after")
    assert [splat.kind for splat in between.splats] == ["warn"]
    assert ended.status == BAD
    assert len(ended.consoles) == 1, "none of these spends a boot"
