# SPDX-License-Identifier: GPL-2.0-only
"""The VM's supervisor leaves no process and no file, whoever dies first. The VM is played by shell commands."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from kfunctest import proc
from kfunctest.wait import wait_until

CHECKOUT = Path(__file__).resolve().parents[1]
KEEPER = CHECKOUT / "kfunctest/machine/vm_supervisor.py"
Keep = Callable[[Path], proc.Process]
#: A VM with a child in its group, a daemon that left the group, and a greeting on the console.
FAKE_VM = 'sleep 987 & setsid sleep 987 & echo "booting" >&2; echo ready; exec cat'


@pytest.fixture
def order(tmp_path: Path) -> Path:
    """A run's folder with the supervisor's order in it, for a VM that this process is the parent of."""
    rundir = tmp_path / "run"
    rundir.mkdir()
    write_order(rundir, tmp_path, FAKE_VM, os.getpid())
    return rundir


def write_order(rundir: Path, tmp_path: Path, command: str, parent: int) -> None:
    argv = ["sh", "-c", command]
    text = json.dumps(
        {"argv": argv, "env": {"KEPT": str(tmp_path)}, "console": str(tmp_path / "console"), "parent": parent}
    )
    (rundir / "launch.json").write_text(text)


def sleepers(place: Path) -> list[int]:
    """The children that live of the fake VM whose environment names this folder, or one below it."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            ours = str(place).encode() in (path / "environ").read_bytes()
            if ours and (path / "cmdline").read_bytes() == b"sleep\0987\0":
                found.append(int(path.name))
        except OSError:
            continue
    return found


@pytest.fixture
def keep() -> Iterator[Callable[[Path], proc.Process]]:
    """Start a supervisor and wait until its fake VM runs."""
    with ExitStack() as stack:

        def start(rundir: Path) -> proc.Process:
            argv: list[str | Path] = [sys.executable, "-I", KEEPER, rundir]
            process = stack.enter_context(proc.spawn(argv, stdin=proc.PIPE, stdout=proc.PIPE))
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            wait_until(lambda: len(sleepers(rundir.parent)) == 2, seconds=10, what="the fake VM's two children")
            return process

        yield start


def test_sigterm_ends_the_vm_with_all_its_processes(keep: Keep, order: Path, tmp_path: Path) -> None:
    process = keep(order)
    process.terminate()
    assert process.wait(10) == 0
    assert not sleepers(order.parent)
    assert not order.exists()
    assert (tmp_path / "console").read_text() == "booting\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_the_supervisor_survives_what_a_terminal_sends(keep: Keep, order: Path, number: signal.Signals) -> None:
    process = keep(order)
    process.send_signal(number)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"still here\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"still here\n"
    process.terminate()
    assert process.wait(10) == 0


def test_the_end_of_the_vm_ends_the_channel_and_the_supervisor(keep: Keep, order: Path) -> None:
    process = keep(order)
    vm = int(next(iter(Path(f"/proc/{process.pid}/task/{process.pid}").glob("children"))).read_text().split()[0])
    os.kill(vm, signal.SIGKILL)
    assert process.stdout is not None
    assert process.stdout.read() == b"", "the channel must end with the VM"
    assert process.wait(10) == 0
    assert not sleepers(order.parent)
    assert not order.exists()


#: Boots a VM that is played by an interpreter with a daemon beside it, and ends without taking it down.
HURRY = """
import sys
from pathlib import Path
from kfunctest.machine import supervisor
script = 'setsid sleep 987 & sleep 987 & exec "$0" -u -c "import sys;exec(eval(sys.stdin.readline()))"'
run_directory = supervisor.rundir()
folder = run_directory.__enter__()
supervisor.give(folder, ["sh", "-c", script, sys.executable], Path(sys.argv[1]), "")
gateway = supervisor.gateway(folder)
busy = gateway.__enter__().remote_exec("import time; channel.send(1); time.sleep(100)")
busy.receive()
"""


def test_an_interpreter_that_ends_in_a_hurry_leaves_nothing(tmp_path: Path) -> None:
    """As a worker of pytest-xdist does whose controller is gone: execnet then kills what its channels lead to."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    env = {"TMPDIR": str(temporary), "PYTHONPATH": str(CHECKOUT)}
    proc.run([sys.executable, "-c", HURRY, tmp_path / "console"], seconds=30, env=env)
    wait_until(lambda: not sleepers(tmp_path) and not list(temporary.iterdir()), seconds=10, what="the end of the VM")


def test_sigkill_of_the_parent_leaves_nothing(keep: Keep, tmp_path: Path) -> None:
    """What happens when pytest is killed by SIGKILL: nobody tells the supervisor, and it must notice."""
    rundir = tmp_path / "run"
    rundir.mkdir()
    with proc.spawn(["sleep", "1000"]) as parent:
        write_order(rundir, tmp_path, FAKE_VM, parent.pid)
        process = keep(rundir)
        parent.kill()
        assert process.wait(10) == 0
    assert not sleepers(rundir.parent)
    assert not rundir.exists()


def test_a_flood_on_the_console_is_kept_whole(keep: Keep, tmp_path: Path) -> None:
    rundir = tmp_path / "run"
    rundir.mkdir()
    write_order(rundir, tmp_path, "seq 200000 >&2; echo ready; sleep 987 & sleep 987", os.getpid())
    process = keep(rundir)
    process.terminate()
    assert process.wait(10) == 0
    lines = (tmp_path / "console").read_text().splitlines()
    assert (len(lines), lines[0], lines[-1]) == (200000, "1", "200000")
