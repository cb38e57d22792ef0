# SPDX-License-Identifier: GPL-2.0-only
"""scripts/bench kfunc in a VM, as short as it can be: every side runs, and all of them read the same."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from kfunctest import proc
from kfunctest.bench.kfunc.samples import EVERYTHING, ITERATOR, KFUNCS, PYTHON_KFUNCS, load

CHECKOUT = Path(__file__).resolve().parents[1]


@pytest.mark.vm
def test_every_side_runs_and_reads_the_same(tmp_path: Path) -> None:
    words: list[str | Path] = ["--rounds", "1", "--iterations", "5", "--clock", "time", "--results", tmp_path]
    done = proc.run([sys.executable, "-m", "kfunctest.bench", "kfunc", *words], seconds=1200, cwd=CHECKOUT, check=False)
    assert done.status == 0, done.stderr + done.stdout
    found = load(tmp_path / "kfunc.json")
    assert found.wrong == []
    assert [line.partition(":")[0] for line in found.equal] == [
        *("root", "a tree of 1", "a tree of 10", "a tree of 100", "a tree of 1000", "root, at the end"),
    ]
    runs = [found.sides[KFUNCS], found.sides[PYTHON_KFUNCS], found.trees[1000][ITERATOR], found.parts[EVERYTHING]]
    assert [[run.passes for run in side] for side in runs] == [[5]] * 4
    (profiled,) = found.parts[EVERYTHING]
    assert profiled.program is not None, "the kernel's BPF statistics were off"
    assert 0 < profiled.program < profiled.real, f"{profiled.program} s in the program, of {profiled.real} s"
