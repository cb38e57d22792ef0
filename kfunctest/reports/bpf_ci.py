# SPDX-License-Identifier: GPL-2.0-only
"""JSON as ``test_progs -J`` of the kernel's tools/testing/selftests/bpf writes it, which BPF CI reads.

A file is a test and its tests are subtests; ``results`` holds the failed files with their failed tests only. The counts
are those of calculate_summary_and_print_errors(). What that format has no word for stands under ``kfunctest``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from kfunctest.reports import cases
from kfunctest.reports.sanitize import bounded, printable
from kfunctest.results import Outcome, Result, Run


def render(run: Run) -> str:
    """The run as test_progs' JSON."""
    several = len(run.kernels) > 1
    files: list[tuple[str, list[Result]]] = []
    for kernel, rows in cases.by_kernel(run):
        for file in dict.fromkeys(row.test.partition("::")[0] for row in rows):
            name = PurePosixPath(file).stem.removeprefix("test_")
            tests = [row for row in rows if row.test.partition("::")[0] == file]
            files.append((f"{kernel.id}/{name}" if several else name, tests))
    failed = [_failed(row for row in tests) for _, tests in files]
    report = {
        "success": failed.count(False),
        "success_subtest": sum(not _bad(row) and not _skipped(row) for _, tests in files for row in tests),
        "skipped": sum(_skipped(row) for _, tests in files for row in tests),
        "failed": failed.count(True),
        "results": [_test(number, name, tests) for number, (name, tests) in enumerate(files, 1) if failed[number - 1]],
        "kfunctest": {
            **dict(cases.facts(run)),
            "counts": dict(sorted(run.counts.items())),
            "kernels": [_kernel(cases.facts_of(kernel)) for kernel, _ in cases.by_kernel(run)],
        },
    }
    return json.dumps(report, indent=1) + "\n"


def _bad(row: Result) -> bool:
    """Also what says nothing about the kernel: BPF CI has but two answers, and it is no pass."""
    return row.outcome.bad or row.outcome is Outcome.INFRA


def _failed(rows: Any) -> bool:
    return any(_bad(row) for row in rows)


def _skipped(row: Result) -> bool:
    return row.outcome is Outcome.SKIPPED


def _test(number: int, name: str, tests: Sequence[Result]) -> dict[str, Any]:
    subtests = [
        {
            "name": printable(row.test.partition("::")[2] or row.test),
            "number": place,
            "message": bounded("\n".join(filter(None, (cases.headline(row), row.details, row.reproduce)))),
            "failed": True,
        }
        for place, row in enumerate(tests, 1)
        if _bad(row)
    ]
    return {"name": printable(name), "number": number, "message": "", "failed": True, "subtests": subtests}


def _kernel(facts: list[tuple[str, str]]) -> dict[str, Any]:
    return {**dict(facts), "patches": [value for name, value in facts if name == "patch"]}
