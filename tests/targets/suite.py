# SPDX-License-Identifier: GPL-2.0-only
"""Runs of the whole suite, and what they leave behind."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from kfunctest import proc, results
from kfunctest.results import Run

CHECKOUT = Path(__file__).resolve().parents[2]
#: The kernel that these tests run: the cheapest to boot.
KERNEL = "7.2-slim"
#: Seconds for a run, under emulation on a busy machine.
SECONDS = 1800.0


@dataclass(frozen=True, slots=True)
class Judged:
    """A run, and all that it wrote."""

    run: Run
    status: int
    text: str


def command(folder: Path | str, *words: str) -> list[str]:
    """The command line of a run whose results come to ``folder``."""
    own = [sys.executable, "-m", "pytest", "-m", "kfunc", "-p", "no:cacheprovider", "--results", str(folder)]
    return [*own, *words, "selftests"]  # collecting the other tests takes minutes under emulation


def judge(folder: Path, *words: str) -> Judged:
    """Run the suite, and read what it recorded."""
    done = proc.run(command(folder, *words), seconds=SECONDS, cwd=CHECKOUT, check=False)
    text = done.stdout + done.stderr
    return Judged(recorded(folder, text), done.status, text)


def marked(expression: str) -> frozenset[str]:
    """The ids of those tests of the suite that its markers, not its results, tell to be so."""
    argv = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "--kernel", KERNEL]
    done = proc.run([*argv, "-m", f"kfunc and ({expression})", "selftests"], seconds=SECONDS, cwd=CHECKOUT)
    return frozenset(line for line in done.stdout.splitlines() if line.startswith("selftests/") and "::" in line)


def recorded(folder: Path, text: str) -> Run:
    """What the only run whose results are in ``folder`` recorded; ``text`` is shown where there is none."""
    files = [path for path in folder.glob(f"*/{results.NAME}") if not path.parent.is_symlink()]
    assert len(files) == 1, f"{files} in {folder}\n{text[-6000:]}"
    return results.read(files[0])
