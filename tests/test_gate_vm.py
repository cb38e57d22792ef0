# SPDX-License-Identifier: GPL-2.0-only
"""The gate as a user runs it, on the default kernel."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from kfunctest import proc
from kfunctest.gate import html, record
from kfunctest.gate.verdict import Status

CHECKOUT = Path(__file__).resolve().parents[1]
TEST = "selftests/test_usage.py::test_usage_equals_memory_current"


@pytest.mark.vm
def test_a_gate_judges_a_kernel(tmp_path: Path) -> None:
    gate = [sys.executable, "-m", "kfunctest.gate", "--results", str(tmp_path)]
    argv = [*gate, "debian-newest", "--", "-k", TEST.rpartition("::")[2]]
    done = proc.run(argv, seconds=900, cwd=CHECKOUT, env={"GITHUB_ACTIONS": None, "GITLAB_CI": None}, check=False)
    said = done.stdout + done.stderr
    assert done.status == Status.PASS, said
    assert done.stdout.splitlines()[-1] == "gate: pass (1 of 1 kernels judged)", said
    folder = tmp_path / "gate-latest"
    (row,) = record.read(folder / record.NAME).rows
    assert {test: str(result.outcome) for test, result in row.results.items()} == {TEST: "passed"}, said
    assert f'href="{row.folder}/{html.REPORT}"' in (folder / html.NAME).read_text()
    merged = proc.run([*gate, "--merge", folder], seconds=60, cwd=CHECKOUT, check=False)
    assert merged.status == Status.UNJUDGED, merged.stdout
    assert "7.2-slim: not judged: there is no record of it" in merged.stdout
