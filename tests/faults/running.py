# SPDX-License-Identifier: GPL-2.0-only
"""Runs tests of suite/faulty.py in a pytest of their own, and reads what that says of them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kfunctest import proc, results
from kfunctest.results import Result, Run
from kfunctest.wait import wait_until
from tests.faults.processes import started_with

CHECKOUT: Final = Path(__file__).resolve().parents[2]
SUITE: Final = "tests/faults/suite/faulty.py"
#: Seconds for all of a run: some boots under TCG on a busy machine, or one that never comes, and the build of a kernel.
SECONDS: Final = 1500.0
#: Seconds for what a killed run leaves to be swept up.
SWEEP: Final = 20.0


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended: pytest's status, all that it wrote, its results file, what is wrong with that, its consoles."""

    status: int
    text: str
    run: Run | None
    problem: str
    consoles: tuple[str, ...]

    def result(self, name: str) -> Result:
        """The one result of the test of this name."""
        (found,) = (result for result in (self.run.results if self.run else ()) if result.test.endswith(f"::{name}"))
        return found

    def __str__(self) -> str:
        return f"status {self.status}, {self.problem or 'results are whole'}\n{self.text[-12000:]}"


def run(
    folder: Path,
    kernel: str,
    tests: Sequence[str],
    *words: str,
    wrapper: Sequence[str | Path] = (),
    suite: str = SUITE,
) -> Ended:
    """Run these tests in this order on ``kernel``, with ``words`` as further options; nothing may be left behind.

    ``folder`` is for its results and its temporary files.
    """
    temporary, place = folder / "tmp", folder / "results"
    for made in (temporary, place):
        made.mkdir(exist_ok=True)
    ids = [f"{suite}::{test}" for test in tests]
    argv: list[str | Path] = [*wrapper, sys.executable, "-m", "pytest", "-m", "kfunc", "-p", "no:cacheprovider"]
    argv += ["--color=no", f"--kernel={kernel}", "--results", place, *words, *ids]
    done = proc.run(argv, seconds=SECONDS, cwd=CHECKOUT, env={"TMPDIR": str(temporary)}, check=False)
    assert_nothing_is_left(temporary, SWEEP if done.status < 0 else 1.0)
    found = sorted(place.glob(f"[0-9]*/{results.NAME}"))
    assert len(found) <= 1, found
    what, problem = results.read_partial(found[0]) if found else (None, "there is no results file")
    consoles = sorted(place.glob("[0-9]*/console-*.log"), key=lambda path: path.stat().st_mtime)
    texts = tuple(path.read_text(errors="backslashreplace") for path in consoles)
    return Ended(done.status, done.stderr + done.stdout, what, problem, texts)


def assert_nothing_is_left(temporary: Path, seconds: float) -> None:
    """No process of the run and no temporary file, at most so many seconds after its end."""

    def left() -> list[str]:
        files = [str(path) for path in temporary.iterdir() if not path.name.startswith("pytest-of-")]
        return started_with(temporary) + files

    wait_until(left, until=lambda found: not found, seconds=seconds, what="the end of every process and temporary file")
