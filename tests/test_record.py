# SPDX-License-Identifier: GPL-2.0-only
"""results.jsonl as a run writes it: alone and under pytest-xdist, ended early, interrupted, killed, on a full disk."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from kfunctest import proc, results
from kfunctest.plugin.plan import without_kernel
from kfunctest.reports.write import FILES
from kfunctest.results import Outcome
from kfunctest.wait import wait_until
from tests import childsuite, fakekernel
from tests.childsuite import Child
from tests.pytest_result import assert_matches, written

EVERY_OUTCOME = """
def test_passes(kernel): pass
def test_fails(kernel):
    print("said by the test")
    assert kernel is None, "expected no kernel"
@pytest.mark.xfail(reason="a known quirk")
def test_quirk(kernel): assert 0
@pytest.mark.xfail(reason="a quirk that is gone")
def test_gone(kernel): pass
def test_skips(kernel): pytest.skip("not applicable: no swap")
@pytest.mark.parametrize("number", [7, 8])
def test_many(kernel, number): pass
@pytest.fixture
def broken(): raise OSError("no such luck")
def test_setup(kernel, broken): pass
@pytest.fixture
def untidy():
    yield
    assert 0, "left behind"
def test_teardown(kernel, untidy): pass
def test_both(kernel, untidy): assert 0, "the test itself"
"""
OUTCOMES = {
    "test_passes": Outcome.PASSED,
    "test_fails": Outcome.FAILED,
    "test_quirk": Outcome.XFAILED,
    "test_gone": Outcome.XPASSED,
    "test_skips": Outcome.SKIPPED,
    "test_many[7]": Outcome.PASSED,
    "test_many[8]": Outcome.PASSED,
    "test_setup": Outcome.INFRA,
    "test_teardown": Outcome.FAILED,
    "test_both": Outcome.FAILED,
}
#: Two tests, of which the second goes on until it is ended.
ENDLESS = """
import time
def test_first(kernel): assert 0
def test_second(kernel): time.sleep(60)
def test_third(kernel): pass
"""


@pytest.fixture
def child(tmp_path: Path, image: Path) -> Child:
    return childsuite.write(tmp_path / "child", image, EVERY_OUTCOME)


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["plain", "xdist"])
def test_every_outcome_is_recorded(child: Child, workers: tuple[str, ...]) -> None:
    done = child.judge(*workers)
    assert done.status == 1, done.stdout + done.stderr
    run = child.run
    assert child.outcomes == OUTCOMES
    assert run.complete
    assert (run.status, run.stopped) == (1, "")
    assert {kernel for _, kernel in run.planned} == {fakekernel.RELEASE}
    assert [(kernel.id, kernel.contract, kernel.how_contract) for kernel in run.kernels] == [
        (fakekernel.RELEASE, "v7.0", "identified by BTF")
    ]
    assert {bool(result.worker) for result in run.results} == {bool(workers)}


def test_a_result_says_what_and_where(child: Child) -> None:
    child.judge()
    failed = child.result("test_fails")
    lines = (child.folder / "test_all.py").read_text().splitlines()
    assert failed.file == "test_all.py"
    assert 'assert kernel is None, "expected no kernel"' in lines[failed.line - 1]
    assert failed.message.startswith("AssertionError: expected no kernel")
    assert "said by the test" in failed.details
    assert failed.reproduce.startswith("scripts/kfunc --kernel ")
    assert "def test_passes" in lines[child.result("test_passes").line - 1]
    assert child.result("test_skips").message == "not applicable: no swap"
    assert child.result("test_quirk").message == "a known quirk"
    assert child.result("test_setup").message == "OSError: no such luck"
    both = child.result("test_both")
    assert "the test itself" in both.message
    assert "left behind" in both.details


def test_tests_that_judge_no_kernel_leave_no_record(child: Child) -> None:
    (child.folder / "test_all.py").write_text("def test_plain(): pass\n")
    assert child.judge().status == 0
    assert not (child.folder / "results").exists()


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["plain", "xdist"])
def test_several_kernels_are_told_apart(child: Child, tmp_path: Path, workers: tuple[str, ...]) -> None:
    """Also two images of one release, and in tests with parameters of their own."""
    config = fakekernel.CONFIG
    others = [written(tmp_path / "b", fakekernel.image(config=config + "CONFIG_B=y\n"))]
    others += [written(tmp_path / "c", fakekernel.image("7.9.2-other", config=config))]
    child.judge(*workers, *(f"--kernel={other}" for other in others))
    run = child.run
    names = [f"{fakekernel.RELEASE}#1", f"{fakekernel.RELEASE}#2", "7.9.2-other"]
    assert [kernel.id for kernel in run.kernels] == names
    found = {(result.test.partition("::")[2], result.kernel): result.outcome for result in run.results}
    assert found == {(test, name): outcome for test, outcome in OUTCOMES.items() for name in names}


@pytest.mark.parametrize(
    "nodeid, expected",
    [
        ("t.py::f", "t.py::f"),
        ("t.py::f[7.2-slim]", "t.py::f"),
        ("t.py::f[7.2-slim-a-b]", "t.py::f[a-b]"),
        ("t.py::f[a-7.2-slim]", "t.py::f[a]"),
        ("t.py::f[a-7.2-slim-b]", "t.py::f[a-b]"),
        ("t.py::f[7.2-slim1-a[0]]", "t.py::f[a[0]]"),
        ("t.py::f[x7.2-slim]", "t.py::f[x7.2-slim]"),
    ],
)
def test_a_node_id_without_its_kernel(nodeid: str, expected: str) -> None:
    assert without_kernel(nodeid, "7.2-slim") == expected


def test_ctrl_c_keeps_what_was_found(tmp_path: Path, image: Path) -> None:
    child = childsuite.write(tmp_path / "child", image, ENDLESS)
    assert _ended_by(child, signal.SIGINT) == 2
    run = child.run
    assert child.outcomes == {"test_first": Outcome.FAILED}
    assert not run.complete
    assert (run.status, run.stopped) == (2, "interrupted")
    assert [test.partition("::")[2] for test, _ in run.unreached] == ["test_second", "test_third"]


def test_a_killed_run_is_incomplete_and_keeps_what_was_found(tmp_path: Path, image: Path) -> None:
    child = childsuite.write(tmp_path / "child", image, ENDLESS)
    _ended_by(child, signal.SIGKILL)
    with pytest.raises(results.Incomplete, match="cut short after 1 results"):
        results.read(child.latest / results.NAME)


def _ended_by(child: Child, number: signal.Signals) -> int:
    file = child.latest / results.NAME
    with proc.spawn([*child.argv, "."], cwd=child.folder, env=child.env) as run:
        wait_until(
            lambda: file.read_bytes() if file.exists() else b"",
            until=lambda content: b"test_first" in content.partition(b'"result"')[2],
            seconds=30,
            what="the first result",
        )
        os.kill(run.pid, number)
        return run.wait(20)


def test_a_stop_in_the_middle_is_recorded_with_its_reason(tmp_path: Path, image: Path) -> None:
    child = childsuite.write(
        tmp_path / "child",
        image,
        "from kfunctest.plugin.stop import Stop\n"
        "def test_first(kernel): pass\n"
        "def test_second(kernel): raise Stop('the disk is full', 3)\n"
        "def test_third(kernel): pass\n",
    )
    assert child.judge().status == 3
    assert child.outcomes == {"test_first": Outcome.PASSED}
    assert (child.run.status, child.run.stopped, child.run.complete) == (3, "the disk is full", False)


def test_a_kernel_without_the_kfuncs_is_recorded_as_such(child: Child, tmp_path: Path) -> None:
    old = written(tmp_path / "old", fakekernel.image("6.12.1-old", functions=["mem_cgroup_css_alloc"]))
    old_child = Child(child.folder, old)
    assert old_child.judge().status == 1
    run = child.run
    assert (run.status, run.results, run.kernels[0].contract) == (1, (), "")
    assert "has none of the memcg BPF kfuncs" in run.stopped


def test_a_worker_that_dies_is_no_verdict_on_the_kernel(tmp_path: Path, image: Path) -> None:
    child = childsuite.write(
        tmp_path / "child",
        image,
        "import os, signal\n"
        "def test_first(kernel): pass\n"
        "def test_second(kernel): os.kill(os.getpid(), signal.SIGKILL)\n"
        "def test_third(kernel): pass\n",
    )
    child.judge("-n", "1")
    assert child.outcomes["test_second"] is Outcome.INFRA
    assert "crashed while running" in child.result("test_second").message
    assert child.outcomes["test_third"] is Outcome.PASSED


def test_results_that_cannot_be_written_are_said_in_one_line(tmp_path: Path, image: Path) -> None:
    """The first test takes the place of the results away; those that pass are not worth a status of 0."""
    child = childsuite.write(
        tmp_path / "child",
        image,
        "import shutil\n"
        "from kfunctest.plugin import SESSION\n"
        "def test_first(kernel, request): shutil.rmtree(request.config.stash[SESSION].results)\n"
        "def test_second(kernel): pass\n",
    )
    done = child.judge()
    assert done.status == 3, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert_matches(r"^kfunctest: .* cannot be written \(No such file or directory\)", done.stdout.splitlines()[-1])


def test_the_disk_is_full(child: Child) -> None:
    """A limit on a file's size stands for it: the kernel refuses the same write, in the middle of a line."""
    child.judge("-k", "many")
    enough = (child.latest / results.NAME).stat().st_size
    done = proc.run(
        ["prlimit", f"--fsize={enough - 100}", *child.argv, "-k", "many", "."],
        seconds=60,
        cwd=child.folder,
        env=child.env,
        check=False,
    )
    assert done.status == 3, done.stdout + done.stderr
    assert "cannot be written (File too large)" in done.stdout.splitlines()[-1]
    with pytest.raises(results.Incomplete):
        results.read(child.latest / results.NAME)


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["plain", "xdist"])
def test_every_report_is_written_beside_the_results(child: Child, workers: tuple[str, ...]) -> None:
    done = child.judge(*workers, "--kcidb-origin", "my_ci")
    assert done.status == 1
    for name in FILES:
        text = (child.latest / name).read_text()
        assert "test_fails" in text, name
        assert "scripts/kfunc --kernel " in text, f"{name} does not say how to repeat a failure"
        assert fakekernel.RELEASE in text, name
    assert '"my_ci"' in (child.latest / "kcidb.json").read_text()
    assert f"report: {child.latest.resolve() / 'report.html'}" in done.stdout
    assert "::error" not in done.stdout


def test_pytest_s_own_junitxml_keeps_working(child: Child) -> None:
    child.judge("--junitxml", "own.xml")
    assert 'errors="3" failures="3"' in (child.folder / "own.xml").read_text()


def test_reports_that_cannot_be_written_are_said_in_one_line(tmp_path: Path, image: Path) -> None:
    child = childsuite.write(
        tmp_path / "child",
        image,
        "from kfunctest.plugin import SESSION\n"
        "def test_first(kernel, request): (request.config.stash[SESSION].results / 'report.html').mkdir()\n",
    )
    done = child.judge()
    assert done.status == 3, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert_matches(r"^kfunctest: .* cannot be written \(Is a directory\)", done.stdout.splitlines()[-1])
    assert child.run.status == 3


@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["plain", "xdist"])
def test_whatever_a_test_says_is_recorded(tmp_path: Path, image: Path, workers: tuple[str, ...]) -> None:
    """Bytes that no encoding explains, as Python reads them from a console, and control bytes."""
    child = childsuite.write(
        tmp_path / "child",
        image,
        "import sys\n"
        "def test_first(kernel): assert 0, 'a \\udc80 \\x00 \\x1b[31m ]]> b'\n"
        "def test_second(kernel): sys.stdout.buffer.write(b'\\xff\\x00'); assert 0\n"
        "def test_third(kernel): pass\n",
    )
    done = child.judge(*workers)
    assert done.status == 1, done.stdout + done.stderr
    assert child.outcomes == {"test_first": "failed", "test_second": "failed", "test_third": "passed"}
    assert child.result("test_first").message == "AssertionError: a \\udc80 \x00 \x1b[31m ]]> b"
    for name in FILES:
        assert "\x00" not in (child.latest / name).read_text()
