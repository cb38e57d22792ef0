# SPDX-License-Identifier: GPL-2.0-only
"""Subprocesses, waiting, and the cache."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from kfunctest import cache, proc
from kfunctest.errors import EXIT_INFRA, InfraError, NoSpace
from kfunctest.wait import wait_until

CHECKOUT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("KFUNCTEST_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_failing_program_gives_a_line_to_paste() -> None:
    with pytest.raises(proc.CommandError) as caught:
        proc.run(["sh", "-c", "echo 'the reason' >&2; exit 3"], seconds=10)
    assert str(caught.value) == (
        "sh ended with status 3: the reason; to see it again: sh -c 'echo '\"'\"'the reason'\"'\"' >&2; exit 3'"
    )
    assert caught.value.completed.status == 3


def test_a_deadline_kills_the_whole_group(tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(proc.CommandError, match=r"did not end within 0.3 s"):
        proc.run(["sh", "-c", f"sh -c 'echo $$ > {tmp_path}/pid; exec sleep 1000'; true"], seconds=0.3)
    assert time.monotonic() - start < 5
    child = int((tmp_path / "pid").read_text())
    wait_until(lambda: not Path(f"/proc/{child}").exists(), seconds=5, what="the grandchild to be gone")


THREADED = """
import sys, threading
from pathlib import Path
from kfunctest import proc

def work():
    with proc.spawn(["sh", "-c", sys.argv[1]], guarded=True) as process:
        Path(sys.argv[2]).touch()
        process.wait()

threading.Thread(target=work).start()
"""


def test_what_a_killed_run_was_running_dies_with_it(tmp_path: Path) -> None:
    """All of it, also what the program started; from a thread too, as a test's own VM might."""
    pid, guarded = tmp_path / "pid", tmp_path / "guarded"
    program = f"sh -c 'echo $$ > {pid}.new; mv {pid}.new {pid}; exec sleep 1000'; true"
    with proc.spawn([sys.executable, "-c", THREADED, program, guarded], cwd=CHECKOUT) as run:
        wait_until(lambda: pid.exists() and guarded.exists(), seconds=30, what="the program to run")
        os.kill(run.pid, signal.SIGKILL)
        child = int(pid.read_text())
        wait_until(lambda: not Path(f"/proc/{child}").exists(), seconds=10, what="the program's child to be gone")


GUARDED = """
import os, signal, sys
from pathlib import Path
from kfunctest import proc

def children():
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()

def ended():
    with proc.spawn(["sleep", "1000"], guarded=True):
        pass

ended()
(guard,) = children()
ended()
assert children() == [guard], "one for all"
with proc.spawn(["sleep", "1000"], guarded=True) as earlier:
    os.kill(int(guard), signal.SIGKILL)
    with proc.spawn(["sleep", "1000"], guarded=True) as later:
        print(earlier.pid, later.pid, ended() or "", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_one_guard_watches_over_all_groups_and_is_replaced_where_it_was_killed() -> None:
    done = proc.run([sys.executable, "-c", GUARDED], seconds=30, cwd=CHECKOUT, check=False)
    assert done.status == -signal.SIGKILL, done.stderr
    left = [Path("/proc", pid) for pid in done.stdout.split()]
    assert len(left) == 2
    wait_until(lambda: not any(path.exists() for path in left), seconds=10, what="both processes to be gone")


def test_a_program_that_ends_leaves_no_process_of_ours() -> None:
    def children() -> str:
        return "".join(path.read_text() for path in Path("/proc/self/task").glob("*/children"))

    proc.run(["true"], seconds=10)  # the guard stays
    before = children()
    assert proc.run(["sh", "-c", "cat; echo more >&2"], seconds=10, stdin="said").stdout == "said"
    assert children() == before


def test_a_program_gets_no_options_from_the_users_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAR_OPTIONS", "--exclude=mm")
    monkeypatch.setenv("OTHER", "kept")
    for env in (None, {"MORE": "given"}):
        said = proc.run(["sh", "-c", 'echo "${TAR_OPTIONS-none} $OTHER"'], seconds=10, env=env).stdout
        assert said == "none kept\n"


def test_a_missing_program_names_the_remedy() -> None:
    with pytest.raises(InfraError, match="no-such-tool is not installed; scripts/setup"):
        proc.run(["no-such-tool"], seconds=1)


def test_waiting_ends_with_what_was_seen_last() -> None:
    with pytest.raises(TimeoutError, match=r"waited 0.05 s for a miracle; last seen: 0"):
        wait_until(lambda: 0, seconds=0.05, what="a miracle")


def test_waiting_for_a_value_shows_the_value() -> None:
    values = iter([5, 3, 1])
    assert wait_until(lambda: next(values), until=lambda value: value < 4, seconds=5, what="less than 4") == 3
    with pytest.raises(TimeoutError, match="last seen: 5"):
        wait_until(lambda: 5, until=lambda value: value < 4, seconds=0.05, what="less than 4")


def test_an_entry_is_made_once() -> None:
    made = []

    def make(folder: Path) -> None:
        made.append(folder)
        (folder / "file").write_text("whole")

    for _ in range(2):
        assert (cache.entry("kind", "key", make) / "file").read_text() == "whole"
    assert len(made) == 1


def test_a_failed_entry_leaves_nothing(own_cache: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        cache.entry("kind", "key", fail)
    assert list((own_cache / "kind").iterdir()) == []


def test_a_full_disk_is_one_line_and_leaves_nothing(own_cache: Path) -> None:
    def fill(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(
        InfraError, match=r"no space left for the cache in .*; free some, or set KFUNCTEST_CACHE"
    ) as caught:
        cache.entry("kind", "key", fill)
    assert caught.value.exit_status == EXIT_INFRA
    assert list((own_cache / "kind").iterdir()) == []


def test_a_full_disk_that_a_program_does_not_name_is_recognised(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(folder: Path) -> None:
        proc.run(["sh", "-c", "echo 'tar: Wrote only 4096 of 8704 bytes' >&2; exit 2"], seconds=10)

    with pytest.raises(proc.CommandError, match="Wrote only"):
        cache.entry("kind", "key", fail)
    usage = shutil.disk_usage(own_cache)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=4096))
    with pytest.raises(NoSpace, match="no space left for the cache in"):
        cache.entry("kind", "key", fail)


def test_a_relative_cache_is_where_its_user_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Scripts change to the checkout, and say where they were started."""
    monkeypatch.setenv("KFUNCTEST_CACHE", "mine")
    monkeypatch.delenv("KFUNCTEST_CWD", raising=False)
    assert cache.root() == Path.cwd() / "mine"
    monkeypatch.setenv("KFUNCTEST_CWD", str(tmp_path))
    assert cache.root() == tmp_path / "mine"


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KFUNCTEST_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000)
    with pytest.raises(InfraError, match="there is no place for a cache; set HOME or KFUNCTEST_CACHE"):
        cache.root()


def test_what_a_killed_run_left_is_swept_up(own_cache: Path) -> None:
    stale = own_cache / "kind" / ".partial-key-dead"
    stale.mkdir(parents=True)
    cache.entry("kind", "key", lambda folder: None)
    assert [path.name for path in (own_cache / "kind").iterdir()] == ["key"]


def test_what_killed_runs_left_of_other_entries_is_swept_up_but_not_what_is_being_made(own_cache: Path) -> None:
    dead, making = (own_cache / "kind" / f".partial-{name}-x1_z" for name in ("7.2-old", "busy"))
    for folder in (dead, making):
        folder.mkdir(parents=True)
    with cache.locked("kind-busy"):
        cache.entry("kind", "key", lambda folder: None)
    assert sorted(path.name for path in (own_cache / "kind").iterdir()) == [making.name, "key"]


def test_who_waits_for_another_run_is_told(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(cache, "_PATIENCE", 0.0)

    def take() -> None:
        with cache.locked("name"):
            pass

    take()
    assert capfd.readouterr().err == ""
    other = threading.Thread(target=take)
    with cache.locked("name"):
        other.start()
        said = wait_until(lambda: capfd.readouterr().err, seconds=10, what="the line")
    other.join()
    assert re.fullmatch(r"waiting for another run that uses the cache in \S+ \.\.\.\n", said)


def test_two_runs_at_once_make_an_entry_once(own_cache: Path) -> None:
    """The second waits for the first and finds the work done."""

    def slow(folder: Path) -> None:
        (folder / f"by-{os.getpid()}").touch()
        time.sleep(0.3)

    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            cache.entry("kind", "key", slow)
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    assert len(list((own_cache / "kind" / "key").iterdir())) == 1


def test_different_parts_have_different_digests() -> None:
    assert cache.digest("ab", "c") != cache.digest("a", "bc")
