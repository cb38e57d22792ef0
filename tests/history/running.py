# SPDX-License-Identifier: GPL-2.0-only
"""A bisection as a user runs it, and how it ended."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kfunctest import proc
from kfunctest.bisect import report
from kfunctest.bisect.state import NAME
from kfunctest.wait import wait_until
from tests.history.linux import TEST, History

CHECKOUT = Path(__file__).resolve().parents[2]
#: Seconds: two cores that emulate the VM, and a first build that nothing is cached for.
SECONDS = 4 * 3600.0


@dataclass(frozen=True, slots=True)
class Ended:
    """Its status, what it wrote, and bisect.json where there is one."""

    status: int
    text: str
    data: dict[str, Any]

    @property
    def culprit(self) -> str:
        """The culprit's subject."""
        return str((self.data.get("culprit") or {}).get("subject", self.text))


def command(of: History, results: Path, *words: str, good: str = "") -> list[str]:
    """The command line; ``good`` is seen from the history's end (~40), or else its beginning."""
    argv = [sys.executable, "-m", "kfunctest.bisect", "--tree", str(of.tree), "--bad", of.branch]
    argv += ["--good", f"{of.branch}{good}" if good else of.base]
    return [*argv, "--results", str(results), *words, TEST]


def bisect(of: History, results: Path, *words: str, good: str = "") -> Ended:
    """Run it to its end."""
    done = proc.run(command(of, results, *words, good=good), seconds=SECONDS, cwd=CHECKOUT, check=False)
    file = results / "bisect-latest" / report.JSON
    data = json.loads(file.read_text()) if file.exists() else {}
    return Ended(done.status, done.stdout + done.stderr, data)


def kill_after(trials: int, of: History, results: Path, *words: str) -> None:
    """Run it until so many trials are on record, and kill it with all that it started in its process group."""
    file = results / "bisect-latest" / NAME

    def recorded() -> int:
        return file.read_text().count('{"trial"') if file.exists() else 0

    with proc.spawn(command(of, results, *words), cwd=CHECKOUT) as process:
        wait_until(
            lambda: recorded() >= trials or process.poll() is not None, seconds=SECONDS, what="trials", interval=0.5
        )
        assert process.poll() is None, "it ended before it was killed"
        proc.kill_group(process)
