# SPDX-License-Identifier: GPL-2.0-only
"""A report in KCIDB's schema (version 5.3 of kcidb-io), which KernelCI takes.

Statuses, by the schema's own words: FAIL where the kernel is at fault; ERROR where the test could not say so; MISS
where it was never run; DONE for a known quirk, which is no verdict; SKIP where the contract promises nothing.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
from typing import Any

from kfunctest.reports import cases
from kfunctest.reports.sanitize import one_line, printable, tail
from kfunctest.results import JudgedKernel, Outcome, Result, Run

#: The CI system, unless another is named.
ORIGIN = "kfunctest"
#: The root of our tests in the common tree of tests.
ROOT = "kfunctest"
#: maxLength of log_excerpt in the schema.
EXCERPT = 16384
STATUS = {
    Outcome.PASSED: "PASS",
    Outcome.FAILED: "FAIL",
    Outcome.CRASHED: "FAIL",
    Outcome.HUNG: "FAIL",
    Outcome.XPASSED: "FAIL",
    Outcome.INFRA: "ERROR",
    Outcome.XFAILED: "DONE",
    Outcome.SKIPPED: "SKIP",
}


def render(run: Run, origin: str = ORIGIN) -> str:
    """The run as KCIDB's JSON. ``origin`` is the CI system's name there: ``[a-z0-9_]+``."""
    report: dict[str, Any] = {"version": {"major": 5, "minor": 3}, "checkouts": [], "builds": [], "tests": []}
    for kernel, rows in cases.by_kernel(run):
        checkout, build = _checkout(kernel, run, origin), _build(kernel, origin)
        build["checkout_id"] = checkout["id"]
        report["checkouts"].append(checkout)
        report["builds"].append(build)
        report["tests"] += [_test(row, number, run, build["id"], origin) for number, row in enumerate(rows, 1)]
    return json.dumps(report, indent=1) + "\n"


def _checkout(kernel: JudgedKernel, run: Run, origin: str) -> dict[str, Any]:
    made_of = json.dumps([kernel.release, kernel.origin, kernel.patches])
    return {
        "id": f"{origin}:{_digest(made_of)}",
        "origin": origin,
        "comment": one_line(f"{kernel.release} ({kernel.origin})"),
        "start_time": run.started,
        "valid": True,
        "misc": {"patches": [f"{id_} {subject}" for id_, subject in kernel.patches], "origin": kernel.origin},
    }


def _build(kernel: JudgedKernel, origin: str) -> dict[str, Any]:
    build = {
        "id": f"{origin}:{_digest(json.dumps([kernel.release, kernel.image, kernel.config_digest, kernel.origin]))}",
        "origin": origin,
        "comment": one_line(f"{kernel.id} ({kernel.release})"),
        "architecture": platform.machine(),
        "status": "PASS",
        "misc": {name: value for name, value in cases.facts_of(kernel) if name != "patch"},
    }
    if kernel.compiler:
        build["compiler"] = one_line(kernel.compiler)
    if kernel.flavours:
        build["config_name"] = "+".join(kernel.flavours)
    return build


def _test(row: Result, number: int, run: Run, build: str, origin: str) -> dict[str, Any]:
    reached = (row.test, row.kernel) not in run.unreached
    misc: dict[str, Any] = {"outcome": str(row.outcome), "test": printable(row.test), **dict(cases.facts(run))}
    if row.reproduce:
        misc["reproduce"] = row.reproduce
    if row.splats:
        misc["splats"] = [one_line(splat.line) for splat in row.splats]
    test = {
        "id": f"{origin}:{_digest(json.dumps([run.started, run.command, build, number, row.test]))}",
        "build_id": build,
        "origin": origin,
        "path": _path(row.test),
        "status": STATUS[row.outcome] if reached else "MISS",
        "duration": row.seconds,
        "environment": {"comment": one_line(f"a VM, accelerator: {run.accelerator}; {run.versions}")},
        "misc": misc,
    }
    if row.outcome is not Outcome.PASSED:
        test["comment"] = cases.headline(row)
        shown = "\n".join(
            filter(None, (row.details, *(splat.text for splat in row.splats), tail(row.log, EXCERPT // 2)))
        )
        test["log_excerpt"] = printable(tail(shown, EXCERPT))[-EXCERPT:]
    return test


def _path(test: str) -> str:
    """A dot-separated path: each part holds letters, digits, "_" and "-" only."""
    file, _, name = test.partition("::")
    parts = [*file.removesuffix(".py").split("/"), *name.split("::")]
    clean = [re.sub(r"[^a-zA-Z0-9_-]+", "_", part.replace("[", "-").removesuffix("]")) for part in parts if part]
    return ".".join([ROOT, *clean])


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
