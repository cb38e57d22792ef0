# SPDX-License-Identifier: GPL-2.0-only
"""Every subcommand of every script, in the smallest form that does its work and ends by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

TEST = "selftests/test_usage.py::test_usage_equals_memory_current"
MUTANT = "usage-of-swap"


@dataclass(frozen=True, slots=True)
class Command:
    """``words`` may name {results}, {tree}, {good}, {bad} and {patch}.

    A run that works ends with ``status`` and ``says`` this. ``fakes`` is the host test that runs the same command on
    fake builds, kernels and machines.
    """

    words: str
    says: str
    fakes: str
    status: int = 0


_HISTORY = "--tree {tree} --good {good} --bad {bad} --tries 1"
_BENCH = "test_bench_commands.py::test_a_subcommand_ends_well"

COMMANDS: Mapping[str, Command] = {
    "setup": Command("--quiet", "", "test_setup.py::test_the_second_setup_starts_nothing"),
    "check": Command("-e lint", "lint: OK", "test_scripts.py::test_output_that_cannot_be_written_is_no_verdict"),
    "kfunc": Command(
        f"--results {{results}} {TEST}",
        "1 passed",
        "test_no_verdict_summary.py::test_a_result_names_the_console_of_the_vm_that_it_asked_for",
    ),
    "build-kernel": Command(
        "debian:7.2", "scripts/kfunc --kernel", "test_build_kernel.py::test_the_line_that_it_prints_judges_the_kernel"
    ),
    "gate": Command(
        f"--results {{results}} debian-newest -- {TEST}",
        "gate: pass (1 of 1 kernels judged)",
        "test_gate_run.py::test_a_gate_leaves_a_verdict_a_record_and_the_matrix",
    ),
    "bisect": Command(
        f"--results {{results}} {_HISTORY} {TEST}",
        "c4",
        "test_bisect_commands.py::test_kernels_that_are_really_built_give_the_same_culprit",
    ),
    "bisect step": Command(
        f"--tree {{tree}} {TEST}",
        "bad",
        "test_bisect_step.py::test_a_step_ends_with_the_status_that_git_bisect_run_expects",
        status=1,
    ),
    "series": Command(
        f"--results {{results}} --tree {{tree}} --base {{good}} --patch {{patch}} {TEST}",
        "c4",
        "test_bisect_commands.py::test_every_patch_of_a_series_gets_a_verdict_in_order",
        status=1,
    ),
    "mutate": Command(
        f"--results {{results}} {MUTANT}",
        "1 killed",
        "test_mutate_run.py::test_all_killed_is_status_0_and_the_matrix_says_by_what",
    ),
    "coverage": Command(
        f"--results {{results}} -- {TEST}",
        "coverage.txt",
        "test_coverage_command.py::test_the_status_tells_whether_all_is_reached",
        status=1,
    ),
    "bench harness": Command("--results {results} --pairs 1", "the quick suite takes", _BENCH),
    "bench build": Command("--pairs 1", "a slim build takes", _BENCH),
    "bench flakes": Command(f"1 --results {{results}} -k {TEST.partition('::')[2]}", "0 unexpected", _BENCH),
    "bench bisect": Command(f"{_HISTORY} {TEST}", "both found", _BENCH),
    "bench mutate": Command(f"--results {{results}} {MUTANT}", "make alone", _BENCH),
    "bench memory": Command("-m kfunc", "MiB", _BENCH),
    "bench kfunc": Command("--results {results} --rounds 1 --iterations 1000 --figures root", "root", _BENCH),
}
