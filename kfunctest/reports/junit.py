# SPDX-License-Identifier: GPL-2.0-only
"""JUnit XML, in the form that Jenkins' schema (junit-10.xsd) allows: one suite for each kernel.

``failed`` and ``xpassed`` are failures; ``crashed``, ``hung`` and ``infra`` are errors whose type says which.
"""

from __future__ import annotations

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite
from junitparser.junitparser import FinalResult

from kfunctest.reports import cases
from kfunctest.reports.sanitize import bounded, one_line, printable
from kfunctest.results import JudgedKernel, Outcome, Result, Run

_KINDS: dict[Outcome, type[FinalResult]] = {
    Outcome.FAILED: Failure,
    Outcome.XPASSED: Failure,
    Outcome.CRASHED: Error,
    Outcome.HUNG: Error,
    Outcome.INFRA: Error,
    Outcome.SKIPPED: Skipped,
    Outcome.XFAILED: Skipped,
}


def render(run: Run) -> str:
    """The run as JUnit XML."""
    document = JUnitXml("kfunctest")
    several = len(run.kernels) > 1
    for kernel, rows in cases.by_kernel(run):
        suite = TestSuite(printable(kernel.id) or "kfunctest")
        suite.timestamp = run.started
        for name, value in [*cases.facts(run), *cases.facts_of(kernel)]:
            suite.add_property(name, printable(value))
        suite.add_testcases([_case(row, kernel, several=several) for row in rows])
        suite.time = round(sum(row.seconds for row in rows), 3)
        document.add_testsuite(suite)
    # Not update_statistics(): it also counts what was skipped, for which the schema has no attribute there.
    document.tests = sum(suite.tests for suite in document)
    document.failures = sum(suite.failures for suite in document)
    document.errors = sum(suite.errors for suite in document)
    document.time = round(sum(row.seconds for row in run.results), 3)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + str(document.tostring(), "utf-8")  # type: ignore[no-untyped-call]


def _case(row: Result, kernel: JudgedKernel, *, several: bool) -> TestCase:
    file, _, name = row.test.partition("::")
    group = file.removesuffix(".py").replace("/", ".")
    case = TestCase(
        printable(name or row.test),
        printable(f"{kernel.id}.{group}" if several else group),
        round(row.seconds, 3),
    )
    if kind := _KINDS.get(row.outcome):
        verdict = kind(one_line(row.message), str(row.outcome))
        verdict.text = bounded("\n".join(filter(None, (row.details or row.message, row.reproduce))))
        case.result = [verdict]
    splats = "".join(f"--- {splat.kind}: {splat.line} ---\n{splat.text}\n" for splat in row.splats)
    verifier = f"--- verifier ---\n{row.verifier}\n" if row.verifier else ""
    if row.outcome not in (Outcome.PASSED, Outcome.SKIPPED) and (shown := splats + verifier + row.log):
        case.system_out = bounded(shown)
    return case
