# SPDX-License-Identifier: GPL-2.0-only
"""pytest called by hand: its status is 1 where something speaks against a kernel that was looked at, and never else."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from kfunctest import proc
from kfunctest.results import Outcome
from kfunctest.wait import wait_until
from tests import childsuite
from tests.childsuite import Child

BAD, INFRA, USAGE = 1, 3, 4
GOOD = "def test_good(kernel): pass\n"
FAILS = "def test_fails(kernel): assert 1 == 2\n"
WRITES = "import pytest\nfrom kfunctest.plugin import SESSION\n"


def run(child: Child, *words: str, stdout: int = proc.DEVNULL, stderr: int = proc.DEVNULL) -> int:
    argv = [*child.argv, *words, "."]
    with proc.spawn(argv, cwd=child.folder, env=child.env, stdout=stdout, stderr=stderr) as process:
        return process.wait(120)


def broken(folder: Path, image: Path, tests: str, conftest: str) -> Child:
    """A project whose conftest.py does so, too."""
    child = childsuite.write(folder, image, tests)
    with (folder / "conftest.py").open("a") as file:
        file.write(conftest)
    return child


HOOKS = {
    "pytest_configure": "config",
    "pytest_sessionstart": "session",
    "pytest_collection_modifyitems": "items",
    "pytest_runtestloop": "session",
    "pytest_runtest_protocol": "item",
    "pytest_runtest_logreport": "report",
    "pytest_runtest_makereport": "item",
    "pytest_sessionfinish": "session",
    "pytest_terminal_summary": "config",
    "pytest_unconfigure": "config",
}


@pytest.mark.parametrize("what", ["raise RuntimeError('a bug')", "raise SystemExit(1)"], ids=["bug", "exit"])
@pytest.mark.parametrize("hook", HOOKS)
def test_a_bug_in_a_hook_is_no_verdict(tmp_path: Path, image: Path, hook: str, what: str) -> None:
    child = broken(tmp_path / "child", image, GOOD, f"\ndef {hook}({HOOKS[hook]}): {what}\n")
    assert run(child) == INFRA


FAULTS = {
    "a name": "def test_it(kernel): return no_such_name",
    "an import": "def test_it(kernel): import no_such_module",
    "a file of the host": "def test_it(kernel): open('/nowhere')",
    "a fixture that is not there": "def test_it(kernel, no_such_fixture): pass",
    "a fixture before a kernel runs": "@pytest.fixture\ndef vm(kernel): raise RuntimeError\ndef test_it(vm): pass",
    "one that fails at its end": "@pytest.fixture\ndef f(kernel):\n    yield\n    raise KeyError\ndef test_it(f): pass",
    "an excused one": "@pytest.mark.xfail(reason='known')\ndef test_it(kernel): return no_such_name",
    "a hook around it": "def test_it(kernel): raise RuntimeError('as a hook around it does')",
}


@pytest.mark.parametrize("what", FAULTS)
def test_a_fault_of_ours_in_a_test_is_no_verdict(tmp_path: Path, image: Path, what: str) -> None:
    child = childsuite.write(tmp_path / "child", image, FAULTS[what])
    done = child.judge()
    assert done.status == INFRA, done.stdout
    assert child.outcomes == {"test_it": Outcome.INFRA}
    assert child.run.status == INFRA


def test_a_finding_beside_a_fault_is_a_verdict(tmp_path: Path, image: Path) -> None:
    child = childsuite.write(tmp_path / "child", image, FAULTS["a name"] + "\n" + FAILS)
    assert run(child) == BAD


def test_a_finding_before_a_bug_is_a_verdict(tmp_path: Path, image: Path) -> None:
    hook = "\ndef pytest_runtest_logfinish(nodeid):\n    if 'good' in nodeid: raise RuntimeError('a bug')\n"
    assert run(broken(tmp_path / "child", image, FAILS + GOOD, hook)) == BAD


@pytest.mark.parametrize("words", [(), ("--continue-on-collection-errors",), ("-n", "2")], ids=str)
@pytest.mark.parametrize("source", ["def", "import no_such_module"], ids=["syntax", "import"])
def test_a_file_of_tests_that_cannot_be_read_is_no_verdict(
    tmp_path: Path, image: Path, source: str, words: tuple[str, ...]
) -> None:
    child = childsuite.write(tmp_path / "child", image, GOOD)
    (child.folder / "test_broken.py").write_text(source)
    assert run(child, *words) == USAGE


def test_what_failed_beside_a_file_that_cannot_be_read_is_a_verdict(tmp_path: Path, image: Path) -> None:
    child = childsuite.write(tmp_path / "child", image, FAILS)
    (child.folder / "test_broken.py").write_text("def")
    assert run(child, "--continue-on-collection-errors") == BAD


def test_a_conftest_that_cannot_be_read_is_no_verdict(tmp_path: Path, image: Path) -> None:
    assert run(broken(tmp_path / "child", image, GOOD, "\nimport no_such_module\n")) == USAGE


@contextmanager
def full() -> Iterator[int]:
    """A full disk."""
    with Path("/dev/full").open("w") as file:
        yield file.fileno()


@contextmanager
def unread() -> Iterator[int]:
    """A pipe whose reader has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        yield writer
    finally:
        os.close(writer)


@pytest.mark.parametrize("words", [(), ("-n", "2"), ("-s",), ("-q", "-q", "--no-summary")], ids=str)
@pytest.mark.parametrize("output", [full, unread])
def test_output_that_cannot_be_written_is_no_verdict(
    tmp_path: Path, image: Path, output: Callable[[], AbstractContextManager[int]], words: tuple[str, ...]
) -> None:
    child = childsuite.write(tmp_path / "child", image, GOOD + "def test_prints(kernel): print('seen')\n")
    with output() as lost:
        assert run(child, *words, stdout=lost) == INFRA
        assert run(child, *words, stdout=lost, stderr=lost) == INFRA
        assert run(child, *words, stderr=lost) == 0


def test_standard_output_that_is_closed_is_no_verdict(tmp_path: Path, image: Path) -> None:
    child = childsuite.write(tmp_path / "child", image, GOOD)
    for closed, status in ((">&-", INFRA), ("2>&-", 0), ("<&- >&- 2>&-", INFRA)):
        argv = ["sh", "-c", f'exec "$@" {closed}', "sh", *child.argv, "."]
        assert proc.run(argv, seconds=120, cwd=child.folder, env=child.env, check=False).status == status, closed


def test_what_failed_before_output_was_lost_is_a_verdict_and_recorded(tmp_path: Path, image: Path) -> None:
    """The reader goes when it has seen a failure: the test that is run then is the last one."""
    waits = "def test_waits(kernel):\n    import time\n    time.sleep(2)\ndef test_never(kernel): pass\n"
    child = childsuite.write(tmp_path / "child", image, FAILS + waits)
    with proc.spawn([*child.argv, "."], cwd=child.folder, env=child.env, stdout=proc.PIPE, stderr=proc.PIPE) as process:
        assert process.stdout
        assert process.stderr
        seen = b""
        while b"test_all.py F" not in seen:
            seen += process.stdout.read(1)
        process.stdout.close()
        assert process.wait(60) == BAD
        assert b"kfunctest: standard output cannot be written (Broken pipe)" in process.stderr.read()
    run = child.run
    assert (run.status, set(child.outcomes)) == (BAD, {"test_fails", "test_waits"})
    assert "cannot be written" in run.stopped


@pytest.mark.parametrize("words", [(), ("-n", "2")], ids=["plain", "xdist"])
@pytest.mark.parametrize("tests", [GOOD, FAILS], ids=["good", "bad"])
def test_nothing_is_judged_without_asserts(tmp_path: Path, image: Path, tests: str, words: tuple[str, ...]) -> None:
    child = childsuite.write(tmp_path / "child", image, tests)
    done = child.judge(*words, env={"PYTHONOPTIMIZE": "1"})
    assert done.status == INFRA, done.stdout + done.stderr
    assert "kfunctest: Python runs without asserts" in done.stdout + done.stderr


def test_a_host_test_that_fails_is_pytests_own_affair(tmp_path: Path, image: Path) -> None:
    child = childsuite.write(tmp_path / "child", image, "")
    (child.folder / "test_all.py").write_text("def test_it(): assert 0\n")
    assert run(child) == 1


@pytest.mark.parametrize(
    "number, status", [(signal.SIGINT, 2), (signal.SIGTERM, -signal.SIGTERM), (signal.SIGHUP, -signal.SIGHUP)]
)
@pytest.mark.parametrize("words", [(), ("-n", "2")], ids=["plain", "xdist"])
def test_a_signal_is_no_verdict(
    tmp_path: Path, image: Path, number: signal.Signals, status: int, words: tuple[str, ...]
) -> None:
    waits = "def test_waits(kernel):\n    import pathlib, time\n    pathlib.Path('begun').touch()\n    time.sleep(60)\n"
    child = childsuite.write(tmp_path / "child", image, FAILS + waits)
    with proc.spawn([*child.argv, *words, "."], cwd=child.folder, env=child.env) as process:
        wait_until((child.folder / "begun").exists, seconds=60, what="the test to begin")
        process.send_signal(number)
        assert process.wait(60) == status
