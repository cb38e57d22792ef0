# SPDX-License-Identifier: GPL-2.0-only
"""Whether two runs of the suite found the same."""

from __future__ import annotations

from kfunctest.results import Run

#: How one test ended: its outcome, what it says of a skip, and the kinds of the kernel's complaints.
Found = tuple[str, str, tuple[str, ...]]


def found(run: Run) -> dict[tuple[str, str], Found]:
    """What a run found, by test and kernel. Order, times, addresses and measured values are left out.

    Fails where a test has two results: a run must report each once.
    """
    table: dict[tuple[str, str], Found] = {}
    for result in run.results:
        key = (result.test, result.kernel)
        assert key not in table, f"{key} has two results"
        why = result.message if result.outcome == "skipped" else ""
        table[key] = (str(result.outcome), why, tuple(sorted(splat.kind for splat in result.splats)))
    return table


def differences(one: Run, other: Run) -> list[str]:
    """Each test that two runs do not agree about, and what only one of them has planned, or says of a kernel."""
    results, others = found(one), found(other)
    lines = [
        f"{test} on {kernel}: {results.get((test, kernel))} and {others.get((test, kernel))}"
        for test, kernel in sorted(results.keys() | others.keys())
        if results.get((test, kernel)) != others.get((test, kernel))
    ]
    if set(one.planned) != set(other.planned):
        lines.append(f"planned by one only: {sorted(set(one.planned) ^ set(other.planned))}")
    facts = [(name, getattr(one, name), getattr(other, name)) for name in ("kernels", "accelerator", "status")]
    return lines + [f"{name}: {first} and {second}" for name, first, second in facts if first != second]
