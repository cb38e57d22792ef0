# SPDX-License-Identifier: GPL-2.0-only
"""The gate of scripts/bench kfunc on real kernels: ten plain runs pass, two slower kernels do not."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kfunctest import proc

pytestmark = pytest.mark.bench

CHECKOUT = Path(__file__).resolve().parents[2]
KERNEL = "7.2-slim"
#: Runs of one kernel, a boot each, that the gate must let pass.
PLAIN = 10
#: Seconds for a build, and for a boot with seven short rounds, of a busy machine.
BUILD_SECONDS, RUN_SECONDS = 5400.0, 1200.0

Measure = Callable[..., proc.Completed]


@pytest.fixture(scope="module")
def measure(tmp_path_factory: pytest.TempPathFactory) -> Measure:
    """Measure a kernel with further words; the record is in the folder ``name`` beside the others."""
    base = tmp_path_factory.mktemp("bench")

    def run(name: str, kernel: str, *words: str | Path) -> proc.Completed:
        argv = [sys.executable, "-m", "kfunctest.bench", "kfunc", "--kernel", kernel, "--figures", "root"]
        return proc.run([*argv, "--results", base / name, *words], seconds=RUN_SECONDS, cwd=CHECKOUT, check=False)

    return run


@pytest.fixture(scope="module")
def baseline(measure: Measure, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The record that all others are compared with."""
    done = measure("baseline", KERNEL)
    assert done.status == 0, done.stderr + done.stdout
    kept = next(line for line in done.stdout.splitlines() if line.startswith("kept: "))
    return Path(kept.removeprefix("kept: ").split(",")[0])


@pytest.mark.parametrize("number", range(PLAIN))
def test_a_plain_run_passes(measure: Measure, baseline: Path, number: int) -> None:
    done = measure(f"plain-{number}", KERNEL, "--gate", baseline)
    assert done.status == 0, f"run {number} of the kernel that the baseline is of: {done.stdout}"
    assert done.stdout.count("not slower: ") == 2, done.stdout


@pytest.mark.parametrize("name", ["forced-flush", "linear-search"])
def test_a_slower_kernel_trips_it(measure: Measure, baseline: Path, name: str) -> None:
    patch = Path(__file__).with_name(f"{name}.patch")
    build: list[str | Path] = [sys.executable, "-m", "kfunctest.build_kernel", KERNEL, "--patch", patch]
    built = proc.run(build, seconds=BUILD_SECONDS, cwd=CHECKOUT).stdout.split()[-1]
    done = measure(name, built, "--gate", baseline)
    assert done.status == 1, f"expected status 1 of a slowed kernel, seen {done.status}: {done.stdout}"
    assert "SLOWER: kfuncs against raw" in done.stdout, done.stdout
    assert "The same values on both sides" in done.stdout, "it is slower, and not wrong"
