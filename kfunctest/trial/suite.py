# SPDX-License-Identifier: GPL-2.0-only
"""The one way to run the suite: pytest in a process of its own, with one command line and one environment."""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kfunctest import proc, results
from kfunctest.wait import wait_until

CHECKOUT: Final = Path(__file__).resolve().parents[2]
OUTPUT: Final = "output.txt"
#: Seconds between two looks at a process that says nothing.
_TICK: Final = 1.0
#: What is kept of the output's end, in bytes, to find its last line.
_TAIL: Final = 8192


@dataclass(frozen=True, slots=True)
class Ended:
    """How pytest ended: its exit status (negative: the signal), its last line, its results file if there is one.

    ``seconds`` are the host's.
    """

    status: int
    said: str
    file: Path | None
    seconds: float = 0.0


#: Runs the suite: what ``--kernel`` takes, the directory for its results, pytest's further arguments, and the tests.
Suite = Callable[[str, Path, Sequence[str], Sequence[str]], Ended]


def show_nothing(_data: bytes) -> None:
    """For who follows a run by other lines: pytest's output is kept in its directory all the same."""


def pytest_suite(seconds: float, show: Callable[[bytes], None] = show_nothing) -> Suite:
    """The suite as it is; a run may take so many seconds, and ``show`` gets its output as it comes."""

    def judge(kernel: str, folder: Path, words: Sequence[str], tests: Sequence[str]) -> Ended:
        argv: list[str | Path] = [sys.executable, "-m", "kfunctest.plugin", "-p", "no:cacheprovider"]
        argv += ["--kernel", kernel, "--results", folder, *words, *tests]
        folder.mkdir(parents=True, exist_ok=True)
        start = time.monotonic()
        status, said = _run(list(map(str, argv)), seconds, folder / OUTPUT, show)
        return Ended(status, said, _file(folder), time.monotonic() - start)

    return judge


def _run(argv: Sequence[str], seconds: float, output: Path, show: Callable[[bytes], None]) -> tuple[int, str]:
    """Run to the end or the deadline; returns the status, and the last line that was written."""
    # virtme-ng starts its parts by name. A command that runs the suite annotates GitHub's page itself.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    # Somebody's own arguments for pytest could leave out most tests.
    env = {"PATH": path, "GITHUB_ACTIONS": None, "GITHUB_STEP_SUMMARY": None, "PYTEST_ADDOPTS": None}
    tail = b""
    deadline = time.monotonic() + seconds
    with (
        output.open("wb") as kept,
        proc.spawn(argv, cwd=CHECKOUT, env=env, stdout=proc.PIPE, stderr=proc.STDOUT, guarded=True) as process,
    ):
        assert process.stdout
        while time.monotonic() < deadline:
            ready, _, _ = select.select([process.stdout], [], [], _TICK)
            if ready:
                if not (data := os.read(process.stdout.fileno(), 1 << 16)):
                    break
                kept.write(data)
                show(data)
                tail = (tail + data)[-_TAIL:]
            elif process.poll() is not None:
                break
        else:
            proc.kill_group(process)
            return process.returncode, _late(seconds)
        try:
            left = max(deadline - time.monotonic(), _TICK)
            wait_until(lambda: process.poll() is not None, seconds=left, what="its end")
        except TimeoutError:  # it closed its output, and goes on
            proc.kill_group(process)
            return process.returncode, _late(seconds)
        return process.returncode, _last(tail.decode(errors="replace"))


def _late(seconds: float) -> str:
    return f"it did not end within {seconds / 60:.0f} minutes"


def _last(text: str) -> str:
    """The line that says why a run ended: the last one, or ours before it."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    ours = [line for line in lines if line.startswith("kfunctest: ")]
    return (ours or lines or [""])[-1].removeprefix("kfunctest: ")


def _file(folder: Path) -> Path | None:
    """The results of the run that has this folder to itself; ``latest`` there is a second way to them."""
    found = [file for file in sorted(folder.glob(f"*/{results.NAME}")) if not file.parent.is_symlink()]
    return found[-1] if found else None
