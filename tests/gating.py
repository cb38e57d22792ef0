# SPDX-License-Identifier: GPL-2.0-only
"""Rows of a matrix for the gate's tests, without a kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from kfunctest import results
from kfunctest.gate import verdict
from kfunctest.gate.baseline import Baseline
from kfunctest.gate.lists import Lists
from kfunctest.gate.matrix import Matrix, Row
from kfunctest.gate.verdict import Verdict
from kfunctest.results import Between, JudgedKernel, Outcome, Result, Run, Splat, Untested
from kfunctest.trial.suite import Ended

WARNING = Splat("warn", "WARNING: CPU: 1 PID: 77 at mm/x.c:1 f+0x12/0x34", "")
A, B, C = (f"selftests/test_{name}.py::test_{name}" for name in "abc")


def kernel(name: str) -> JudgedKernel:
    return JudgedKernel(name, name, "7.2.0", "Debian", "v7.0", "identified by BTF")


def result(test: str, outcome: str, name: str = "7.2") -> Result:
    return Result(test, name, Outcome(outcome), message=f"{outcome} it did", reproduce=f"scripts/kfunc {test}")


def row(name: str = "7.2", between: Sequence[Splat] = (), status: int | None = None, **outcomes: str) -> Row:
    """A judged kernel; ``a="passed"`` is the outcome of the test A."""
    found = tuple(result(f"selftests/test_{test}.py::test_{test}", outcome, name) for test, outcome in outcomes.items())
    bad = any(one.outcome.bad for one in found) or bool(between)
    run = Run(
        "2026-01-01T00:00:00+00:00",
        "pytest",
        "tcg",
        "QEMU",
        (kernel(name),),
        results=found,
        between=(Between(name, A, "", tuple(between)),) if between else (),
        status=status if status is not None else int(bad),
        planned=tuple((one.test, name) for one in found),
    )
    return Row(name, run)


def leave(folder: Path, run: Run, said: str = "") -> Ended:
    """Write the results file that such a run leaves; how it ended."""
    file = folder / "20260101-000000-1" / results.NAME
    file.parent.mkdir(parents=True)
    results.begin(file, run)
    for one in run.results:
        results.write_line(file, "result", one)
    for between in run.between:
        results.write_line(file, "between", between)
    status = run.status or 0
    results.end(file, replace(run, status=status))
    return Ended(status, said, file, 1.0)


def with_untested(row: Row, *untested: Untested) -> Row:
    """The same kernel, with what no test covers."""
    assert row.run
    (judged,) = row.run.kernels
    return replace(row, run=replace(row.run, kernels=(replace(judged, untested=untested),)))


def judge(
    *rows: Row,
    lists: Lists | None = None,
    known: Baseline | None = None,
    whole: bool = True,
    accepted: Sequence[str] = (),
) -> Verdict:
    judged = Matrix("2026-01-01", "scripts/gate", rows, whole)
    return verdict.judge(judged, {one.kernel: lists or Lists() for one in rows}, known or Baseline(), accepted)


def said(verdict: Verdict) -> str:
    return "\n".join(str(line) for line in (*verdict.bad, *verdict.unjudged, *verdict.known, *verdict.notes))
