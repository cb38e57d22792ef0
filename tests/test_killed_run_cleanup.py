# SPDX-License-Identifier: GPL-2.0-only
"""A run that is killed while its VM runs leaves no process and no file."""

from __future__ import annotations

import signal
import sys
import time
from operator import not_
from pathlib import Path

import pytest

from kfunctest import proc
from kfunctest.kernels.model import Kernel
from kfunctest.wait import wait_until

pytestmark = pytest.mark.vm

CHECKOUT = Path(__file__).resolve().parents[1]
QEMU_NAME = "virtme-ng"  # what virtme-ng calls its VMs


def started_with(temporary: Path) -> list[str]:
    """The command lines of all processes that have this temporary folder, or one below it."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if f"TMPDIR={temporary}".encode() in (path / "environ").read_bytes():
                found.append((path / "cmdline").read_text(errors="replace").replace("\0", " "))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("signals", ["SIGKILL", "SIGTERM", "SIGINT", "SIGINT SIGINT"])
def test_a_killed_run_leaves_nothing(kernel: Kernel, signals: str, tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    argv: list[str | Path] = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--kernel", kernel.image]
    argv += ["--results", tmp_path / "results", "-m", "kfunc", "selftests/test_usage.py"]
    with proc.spawn(argv, cwd=CHECKOUT, env={"TMPDIR": str(temporary)}) as run:
        wait_until(
            lambda: started_with(temporary),
            until=lambda lines: any(f"-name {QEMU_NAME}" in line for line in lines),
            seconds=60,
            what="QEMU to run",
        )
        for name in signals.split():
            run.send_signal(signal.Signals[name])
            time.sleep(0.2)  # the second one while the first is answered
        assert run.wait(20) not in (0, 1)
        wait_until(lambda: started_with(temporary), until=not_, seconds=10, what="the end of every process of the run")
        wait_until(
            lambda: list(temporary.iterdir()), until=not_, seconds=10, what="the removal of every temporary file"
        )
