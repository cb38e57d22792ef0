# SPDX-License-Identifier: GPL-2.0-only
"""How a build goes on after whatever ended it, and what two at once do."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from kfunctest import cache, proc
from kfunctest.kernels import build_dir
from kfunctest.wait import wait_until
from tests.building import child, compiled, made, needs_build_tools
from tests.fakesource import commit, edit

pytestmark = [needs_build_tools, pytest.mark.usefixtures("cache_here")]
CHECKOUT = Path(__file__).resolve().parents[1]


def running(what: Path) -> list[int]:
    """The processes whose command line or folder has to do with ``what``, but for ourselves."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            told = (path / "cmdline").read_bytes() + bytes((path / "cwd").readlink())
            if bytes(what) in told and int(path.name) != os.getpid() and b"python" not in told.split(b"\0")[0]:
                found.append(int(path.name))
    return found


@pytest.fixture
def held(tree: Path, tmp_path: Path) -> Path:
    """The same tree with a compiler that stops at kernel/fork.c, half-way through, until the file given exists."""
    gate = tmp_path / "gate"
    hold = f"if [ $* = kernel/fork ]; then echo half > $@; while ! [ -e {gate} ]; do sleep 0.05; done; fi; "
    edit(tree / "Makefile", "\t@gcc $(KCFLAGS)", f"\t@{hold}gcc $(KCFLAGS)")
    commit(tree)
    return gate


def test_a_killed_build_leaves_no_process_and_resumes(tree: Path, held: Path) -> None:
    """The half-written object, newer than its source, must not pass for a whole one."""
    with proc.spawn(child(tree), cwd=CHECKOUT) as process:
        slots = cache.root() / "trees"
        wait_until(lambda: list(slots.glob("*/obj/kernel/fork.o")), seconds=60, what="make to be half-way")
        wait_until(lambda: list(slots.glob("*/obj/mm/.*.cmd")), seconds=60, what="another object")
        assert running(slots)
        process.kill()
        process.wait()
    wait_until(lambda: not running(slots), seconds=10, what="make and its children to be gone")
    held.touch()
    built = made(tree)
    assert "kernel/fork.o" in compiled(built)
    assert len(compiled(built)) < 3, "it began anew"
    assert b"half" not in next(slots.glob("*/obj/kernel/fork.o")).read_bytes()[:4]


def test_the_guard_against_half_written_objects_sees_a_rebuild(tree: Path, held: Path) -> None:
    """An object that was whole, and was being made again: its command line is there, from before."""
    held.touch()
    made(tree)
    held.unlink()
    edit(tree / "kernel" / "fork.c", "one()", "2 * one()")
    commit(tree)
    slots = cache.root() / "trees"
    with proc.spawn(child(tree), cwd=CHECKOUT) as process:
        wait_until(
            lambda: next(slots.glob("*/obj/kernel/fork.o")).read_bytes()[:4] == b"half", seconds=60, what="half of it"
        )
        process.kill()
        process.wait()
    wait_until(lambda: not running(slots), seconds=10, what="make and its children to be gone")
    held.touch()
    assert compiled(made(tree)) == {"kernel/fork.o"}


def test_a_tool_half_linked_by_a_killed_build_is_linked_anew(tree: Path, tmp_path: Path) -> None:
    """The kernel's build links its tools by plain rules, which leave no command line."""
    gate = tmp_path / "gate"
    (tree / "Makefile").write_text(
        (tree / "Makefile").read_text()
        + "$(objects): $(O)/tools/objtool/objtool\n$(O)/tools/objtool/objtool:\n\t@mkdir -p $(@D); echo half > $@\n"
        + f"\t@while ! [ -e {gate} ]; do sleep 0.05; done; echo whole > $@\n"
    )
    commit(tree)
    slots = cache.root() / "trees"
    with proc.spawn(child(tree), cwd=CHECKOUT) as process:
        wait_until(lambda: list(slots.glob("*/obj/tools/objtool/objtool")), seconds=60, what="the tool")
        process.kill()
        process.wait()
    wait_until(lambda: not running(slots), seconds=10, what="make and its children to be gone")
    gate.touch()
    made(tree)
    (tool,) = slots.glob("*/obj/tools/objtool/objtool")
    assert tool.read_text() == "whole\n"


@pytest.mark.parametrize(
    ("tool", "command", "stays"),
    [(300, 250, False), (300, 400, True), (150, 100, True), (150, 400, True)],
    ids=["the last thing made", "objects came after it", "from an earlier run", "long before"],
)
def test_whole_tools_stay(tmp_path: Path, tool: int, command: int, stays: bool) -> None:
    """Of a run that began at 200 and was killed: to link a tool anew is to compile the whole kernel anew."""
    place = build_dir.Slot(tmp_path)
    times = {"obj/tools/objtool/objtool": tool, "obj/mm/slub.o": command, "obj/mm/.slub.o.cmd": command}
    for name, seconds in {**times, "obj/tools/objtool/.x.o.cmd": 100, "unfinished": 200}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (seconds, seconds))
    with place.working():
        assert (place.obj / "tools").exists() is stays
        assert place.unfinished.stat().st_mtime > time.time() - 60
    assert not place.unfinished.exists()
    assert (place.obj / "mm" / "slub.o").exists()


def test_ctrl_c_ends_it_promptly(tree: Path, held: Path) -> None:
    with proc.spawn(child(tree), cwd=CHECKOUT, stderr=proc.PIPE) as process:
        slots = cache.root() / "trees"
        wait_until(lambda: list(slots.glob("*/obj/kernel/fork.o")), seconds=60, what="make to be half-way")
        start = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert time.monotonic() - start < 8
        assert process.stderr
        assert b"interrupted; the next run goes on" in process.stderr.read()
    assert not running(slots)
    held.touch()
    made(tree)


def test_two_at_once_build_once(tree: Path, held: Path) -> None:
    with ThreadPoolExecutor() as pool:
        both = [pool.submit(made, tree) for _ in range(2)]
        wait_until(lambda: list((cache.root() / "trees").glob("*/obj/kernel/fork.o")), seconds=60, what="make")
        threading.Timer(0.5, held.touch).start()
        first, second = (each.result(60) for each in both)
    assert first == second
    assert len(list((cache.root() / "built").iterdir())) == 1
    (log,) = (cache.root() / "trees").glob("*/build.log")
    assert log.read_text().count("CC      kernel/fork.o") == 1
