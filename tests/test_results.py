# SPDX-License-Identifier: GPL-2.0-only
"""The file that a run leaves: what is whole is read back as it was, and what is not is never a pass."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from kfunctest import results
from kfunctest.results import Between, Incomplete, JudgedKernel, Outcome, Result, Run, Splat, Untested

WARNING = Splat("warn", "WARNING: mm/x.c:1 at f", "WARNING: mm/x.c:1 at f\nCall Trace:\n")
KERNEL = JudgedKernel(
    "7.2",
    "debian:7.2",
    "7.2.0",
    "Debian",
    "v7.0",
    "identified by BTF",
    (("ab12", "a patch"),),
    untested=(Untested("bpf_new", "kfunc"), Untested("NR_NEW", "node_stat_item", accepted=True)),
)
PASSED = Result("selftests/test_a.py::test_a", "7.2", Outcome.PASSED, 0.5)
CRASHED = Result("selftests/test_a.py::test_b", "7.2", Outcome.CRASHED, message="\udc80 \x00 died", splats=(WARNING,))
PLANNED = tuple((result.test, result.kernel) for result in (PASSED, CRASHED))
RUN = Run("2026-01-01T00:00:00+00:00", "pytest", "tcg", "QEMU", (KERNEL,), planned=PLANNED)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A whole file, of two results."""
    file = tmp_path / results.NAME
    results.begin(file, RUN)
    results.write_line(file, "result", PASSED)
    results.write_line(file, "result", CRASHED)
    results.write_line(file, "between", Between("7.2", PASSED.test, CRASHED.test, (WARNING,)))
    results.end(file, replace(RUN, results=(PASSED, CRASHED), ended="2026-01-01T00:01:00+00:00", status=1))
    return file


def test_a_whole_file_is_read_back_as_it_was(file: Path) -> None:
    run = results.read(file)
    assert run.results == (PASSED, CRASHED)
    assert run.kernels == (KERNEL,)
    assert run.between == (Between("7.2", PASSED.test, CRASHED.test, (WARNING,)),)
    assert run.unaccepted == (("7.2", Untested("bpf_new", "kfunc")),)
    assert (run.status, run.complete, run.counts) == (1, True, {"passed": 1, "crashed": 1})


def test_a_file_cut_anywhere_is_incomplete(file: Path) -> None:
    whole = file.read_bytes()
    for size in range(len(whole) - 1):
        file.write_bytes(whole[:size])
        with pytest.raises(Incomplete):
            results.read(file)


def test_a_file_that_lost_a_line_is_incomplete(file: Path) -> None:
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:1] + lines[2:]))
    with pytest.raises(Incomplete, match="holds 1 results and says 2"):
        results.read(file)


def test_a_missing_file_is_incomplete(tmp_path: Path) -> None:
    with pytest.raises(Incomplete, match="cannot be read"):
        results.read(tmp_path / "none")


def test_a_file_of_another_format_is_incomplete(file: Path) -> None:
    file.write_bytes(file.read_bytes().replace(b'"format":1', b'"format":0', 1))
    with pytest.raises(Incomplete, match="another format"):
        results.read(file)


def test_what_was_planned_and_not_reached_is_known(file: Path) -> None:
    results.begin(file, RUN)
    results.write_line(file, "result", PASSED)
    results.end(file, replace(RUN, results=(PASSED,), status=0))
    run = results.read(file)
    assert run.unreached == ((CRASHED.test, "7.2"),)
    assert not run.complete


def test_only_crashes_hangs_and_failures_speak_against_the_kernel() -> None:
    assert {outcome for outcome in Outcome if outcome.bad} == {
        Outcome.FAILED,
        Outcome.XPASSED,
        Outcome.CRASHED,
        Outcome.HUNG,
    }


@pytest.mark.parametrize(
    "old, new",
    [
        ('"accelerator":', '"speed":'),
        ('"crashed"', '"exploded"'),
        ('"planned":[', '"planned":[7,'),
        ('{"run":', '"run"}\n{"run":'),
    ],
)
def test_a_file_of_other_content_is_incomplete(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    with pytest.raises(Incomplete, match=r"no run|exploded|not whole|no record"):
        results.read(file)


def test_a_run_is_its_own_data_read_back(file: Path) -> None:
    run = results.read(file)
    assert results.from_data(json.loads(json.dumps(asdict(run)))) == run
