# SPDX-License-Identifier: GPL-2.0-only
"""One run of the suite on one kernel, as a table of outcomes."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kfunctest import proc

CHECKOUT: Final = Path(__file__).resolve().parents[2]
#: Seconds for a run with the build of its kernel: minutes for a slim one, more with sanitizers, twice that when busy.
SECONDS: Final = 5400.0


@dataclass(frozen=True, slots=True)
class Judged:
    """How a run ended: pytest's status, all that it wrote, and the outcome of each test by its id."""

    command: str
    status: int
    text: str
    outcomes: tuple[tuple[str, str], ...]

    def those(self, outcome: str) -> set[str]:
        """The tests that ended so: ``passed``, ``failed`` or ``skipped``. An error in a fixture is a failure."""
        return {test for test, ended in self.outcomes if ended == outcome}

    def __str__(self) -> str:
        return f"to see it again: {self.command}\n{self.text[-6000:]}"


def judge(folder: Path, kernel: str, *words: str, tests: Sequence[str] = ("selftests",)) -> Judged:
    """Run the suite on ``kernel``, a name of kernels.toml or any other spec, with these further words."""
    report = folder / "junit.xml"
    argv = ["scripts/kfunc", "--kernel", kernel, *words, *tests]
    own = [sys.executable, "-m", "pytest", "-m", "kfunc", "-p", "no:cacheprovider", *argv[1:]]
    done = proc.run([*own, f"--junitxml={report}", "--results", folder], seconds=SECONDS, cwd=CHECKOUT, check=False)
    return Judged(" ".join(argv), done.status, done.stderr + done.stdout, tuple(_outcomes(report)))


def _outcomes(report: Path) -> list[tuple[str, str]]:
    if not report.exists():
        return []
    found = []
    for case in ET.parse(report).iter("testcase"):
        kinds = {child.tag for child in case}
        outcome = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
        found.append((f"{case.get('classname', '').rpartition('.')[2]}::{case.get('name')}", outcome))
    return found
