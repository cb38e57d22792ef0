# SPDX-License-Identifier: GPL-2.0-only
"""The faults that any kernel will do for, in one run on the default one: part of what every change must pass."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kfunctest.results import Outcome
from tests.faults.running import run
from tests.faults.table import BAD, FAULTS

pytestmark = pytest.mark.vm

QUICK = ("agent_killed", "panic", "qemu_killed")


def test_three_faults_and_the_tests_after_them(tmp_path: Path) -> None:
    faults = [next(fault for fault in FAULTS if fault.name == name) for name in QUICK]
    ended = run(tmp_path, "debian", (*(f"test_{fault.name}" for fault in faults), "test_after"))
    assert not ended.problem, ended
    for fault in faults:
        result = ended.result(f"test_{fault.name}")
        assert result.outcome is fault.outcome, ended
        assert re.search(fault.says, result.message), ended
    assert ended.result("test_after").outcome is Outcome.PASSED, ended
    assert ended.status == BAD, ended
    assert len(ended.consoles) == len(faults) + 1, "each fault costs the VM that it hit, and no other"
