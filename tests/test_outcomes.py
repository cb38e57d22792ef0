# SPDX-License-Identifier: GPL-2.0-only
"""Crashed, hung and infra are kept apart from failed: in the terminal, in what reports carry, in the exit status."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from kfunctest import proc

CHECKOUT = Path(__file__).resolve().parents[1]
#: A project whose kernel and VM are played: no request is made, the errors are those that a VM raises.
CONFTEST = '''
import json
from pathlib import Path
import pytest
from kfunctest.errors import GuestError, InfraError, VmDied, VmHung, VmLost
from kfunctest.kernels.model import Facts, Kernel
from kfunctest.plugin import SESSION
from kfunctest.plugin import session as sessions
from kfunctest.machine.console import Console

pytest_plugins = ["kfunctest.plugin.hooks"]
KERNEL = Kernel(
    spec="none", release="7.9.1", image=Path("/nonexistent/vmlinuz"), image_digest="", modules=None, origin="a test's",
    resolved=None, config=None,
    facts=Facts(enums=(), kfuncs=frozenset({"bpf_mem_cgroup_usage"}), bpf_functions=frozenset(), memcg=True,
        btf_size=0),
)
OOPS = """[    5.000000] BUG: kernel NULL pointer dereference, address: 0000000000000000
[    5.000001] Oops: Oops: 0000 [#1] SMP NOPTI
[    5.000002] RIP: 0010:memcg_events+0x36/0x150
"""


class FakeVm:
    def __init__(self, console):
        self.kernel, self.lost, self.spent, self.console = KERNEL, None, None, console

    def lose(self, error):
        self.lost = error
        raise error


@pytest.hookimpl(trylast=True)
def pytest_configure(config):
    session = config.stash[SESSION]
    session._kernels = [KERNEL]
    session.prepare = lambda: None
    booted = config.rootpath / "booted"
    booted.write_text("")

    def boot(kernel, shape):
        number = len(booted.read_text()) + 1
        booted.write_text("x" * number)
        failure = next(iter((config.rootpath / "boots").glob("*")), None)
        if failure:
            raise {"crash": VmDied("the kernel panicked while booting: out of luck", "..."),
                   "infra": InfraError("the VM did not boot within 2 s", remedy="look", evidence="dots")}[failure.name]
        return FakeVm(Console(config.rootpath / f"console-{number}"))

    session._boot = boot


@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report):
    if hasattr(report, "kfunctest"):
        with Path("reports").open("a") as out:
            out.write(json.dumps({"when": report.when, **report.kfunctest}) + "\\n")


@pytest.fixture
def vm(request):
    return request.config.stash[SESSION].vm(KERNEL)
'''
TESTS = "import pytest\nfrom conftest import *\npytestmark = pytest.mark.kfunc\n"


@dataclass
class Ran:
    status: int
    text: str
    #: Each phase's dict, by the test's name and the phase.
    phases: dict[tuple[str, str], dict[str, object]]
    boots: int

    def outcome(self, test: str) -> str:
        """The first outcome of a test that is not ``passed``."""
        found = [str(carried["outcome"]) for (name, _), carried in self.phases.items() if name == test]
        return next((outcome for outcome in found if outcome != "passed"), "passed")


Run = Callable[..., Ran]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run tests in a pytest of its own; ``boots`` says how every boot fails."""

    def start(*tests: str, boots: str = "", words: tuple[str, ...] = ()) -> Ran:
        (tmp_path / "pyproject.toml").write_text((CHECKOUT / "pyproject.toml").read_text())
        (tmp_path / "conftest.py").write_text(CONFTEST)
        (tmp_path / "test_it.py").write_text(TESTS + "\n".join(tests))
        (tmp_path / "boots").mkdir()
        if boots:
            (tmp_path / "boots" / boots).touch()
        argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-o", f"pythonpath={CHECKOUT} {tmp_path}"]
        argv += ["-p", "no:kfunctest-splats"]  # there is no kernel here that could complain
        argv += ["--rootdir", ".", "--accel", "tcg", *words, "."]
        done = proc.run(argv, seconds=60, cwd=tmp_path, check=False)
        lines = (tmp_path / "reports").read_text().splitlines() if (tmp_path / "reports").exists() else []
        carried = {(str(it["test"]).partition("::")[2], str(it["when"])): it for it in map(json.loads, lines)}
        return Ran(done.status, done.stdout + done.stderr, carried, len((tmp_path / "booted").read_text()))

    return start


DIES = "def test_dies(vm): vm.lose(VmDied('the kernel died during read: Oops', 'last words'))"
HANGS = "def test_hangs(vm): vm.lose(VmHung('read: no answer within 6 s', 'last words'))"
LOST = "def test_lost(vm): vm.lose(VmLost('QEMU was killed', 'last words'))"
GOOD = "def test_good(vm): assert vm.lost is None"
FAILS = "def test_fails(vm): assert 1 == 2"


def test_each_has_its_own_word_and_the_others_are_judged(run: Run) -> None:
    ran = run(DIES, HANGS, LOST, FAILS, GOOD)
    assert ran.status == 1, ran.text
    assert re.search(r"1 failed, 1 passed, 1 crashed, 1 hung, 1 infra", ran.text), ran.text
    assert "test_it.py CHIF." in ran.text
    for word, test, what in (
        ("CRASHED", "test_dies", "the kernel died during read: Oops"),
        ("HUNG", "test_hangs", "read: no answer within 6 s"),
        ("INFRA", "test_lost", "QEMU was killed"),
    ):
        assert f"{word} test_it.py::{test} - {what}" in ran.text
        assert ran.outcome(test) == word.lower()
    assert len(re.findall(r"^E +last words$", ran.text, re.MULTILINE)) == 3, "the console's tail is shown once each"
    assert ran.outcome("test_good") == "passed"
    assert ran.boots == 4, "after each loss, and for no other reason"


def test_what_a_report_carries(run: Run) -> None:
    carried = run(DIES).phases["test_dies", "call"]
    assert carried["kernel"] == "7.9.1"
    assert carried["test"] == "test_it.py::test_dies"
    assert carried["message"] == "the kernel died during read: Oops"
    assert str(carried["reproduce"]).endswith("test_it.py::test_dies")
    assert carried["splats"] == []


@pytest.mark.parametrize(
    "tests, status",
    [((GOOD,), 0), ((LOST, GOOD), 3), ((LOST, FAILS), 1), ((LOST, DIES), 1), ((HANGS,), 1)],
    ids=["good", "infra", "infra and failed", "infra and crashed", "hung"],
)
def test_the_status(run: Run, tests: tuple[str, ...], status: int) -> None:
    assert run(*tests).status == status


@pytest.mark.parametrize(
    "mark",
    ["xfail(reason='known')", "xfail(reason='known', raises=Exception)", "xfail(reason='known', strict=False)"],
)
def test_no_mark_excuses_a_crash(run: Run, mark: str) -> None:
    ran = run(f"@pytest.mark.{mark}\n{DIES}", f"@pytest.mark.{mark}\n{FAILS}")
    assert ran.outcome("test_dies") == "crashed"
    assert ran.outcome("test_fails") == "xfailed"
    assert ran.status == 1


def test_a_test_that_swallows_the_crash_has_crashed(run: Run) -> None:
    ran = run(
        "def test_swallows(vm):\n    try: vm.lose(VmDied('the kernel died', ''))\n    except VmDied: pass",
        "def test_skips(vm):\n    try: vm.lose(VmDied('it died again', ''))\n    except VmDied: pytest.skip('no')",
        GOOD,
    )
    assert (ran.outcome("test_swallows"), ran.outcome("test_skips")) == ("crashed", "crashed")
    assert ran.outcome("test_good") == "passed"


def test_a_crash_that_is_seen_on_the_way_out_is_the_tests_own(run: Run) -> None:
    late = "@pytest.fixture\ndef late(vm):\n    yield\n    vm.lose(VmDied('the kernel died at the end', ''))\n"
    ran = run(late, "def test_ends(vm, late): pass", GOOD)
    assert ran.phases["test_ends", "teardown"]["outcome"] == "crashed"
    assert "1 crashed" in ran.text
    assert ran.status == 1


def test_a_crash_counts_once_though_the_way_out_meets_it_too(run: Run) -> None:
    late = "@pytest.fixture\ndef late(vm):\n    yield\n    if vm.lost: raise vm.lost\n"
    ran = run(late, DIES.replace("(vm)", "(vm, late)"))
    assert "1 crashed" in ran.text, ran.text


def test_a_worker_that_an_oops_killed_is_a_crash_and_another_is_not(run: Run) -> None:
    died = "raise GuestError('WorkerDied', 'worker 7 ended by signal -9 during fault', '')"
    ran = run(f"def test_killed(vm): {died}", f"def test_oopsed(vm):\n    vm.console.path.write_text(OOPS)\n    {died}")
    assert (ran.outcome("test_killed"), ran.outcome("test_oopsed")) == ("failed", "crashed")


def test_what_the_guest_lacks_says_nothing_of_its_kernel(run: Run) -> None:
    """As when Python is replaced on the machine during the run, whose files the guest has."""
    ran = run("def test_lacks(vm): raise GuestError('ModuleNotFoundError', 'No module named mmap', '')")
    assert (ran.outcome("test_lacks"), ran.status) == ("infra", 3)


@pytest.mark.parametrize("how, status, word", [("crash", 1, "crashed"), ("infra", 3, "infra")])
def test_boots_that_fail_end_no_run_and_are_not_tried_for_ever(run: Run, how: str, status: int, word: str) -> None:
    tests = [GOOD.replace("test_good", f"test_{n}") for n in range(4)]
    ran = run(*tests, "def test_needs_none(): pass", boots=how)
    assert ran.status == status, ran.text
    assert [ran.outcome(f"test_{n}") for n in range(4)] == [word] * 4
    assert ran.outcome("test_needs_none") == "passed"
    assert ran.boots == 2
    messages = [str(ran.phases[f"test_{n}", "setup"]["message"]) for n in range(4)]
    assert [message.startswith("not tried: ") for message in messages] == [False, False, True, True]
    assert ("out of luck" if how == "crash" else "did not boot within 2 s") in messages[3]


def test_what_the_verifier_said_is_carried(run: Run) -> None:
    ran = run(
        "from kfunctest.machine.bpf import Verdict",
        "@pytest.fixture\ndef verdict(): return Verdict(13, 'R1 invalid', 0)",
        "def test_verdict(vm, verdict): assert verdict.accepted",
        "def test_refused(vm): raise GuestError('VerifierError', 'refused', '', 13, 'R2 invalid')",
        GOOD,
    )
    said = [ran.phases[test, "call"]["verifier"] for test in ("test_verdict", "test_refused", "test_good")]
    assert said == ["R1 invalid", "R2 invalid", ""]


def test_a_spent_vm_is_not_used_again(run: Run) -> None:
    ran = run("def test_spends(vm): vm.spent = 'lockdep is off'", GOOD, FAILS)
    assert ran.boots == 2


def test_a_strict_xfail_that_passes_has_its_own_outcome(run: Run) -> None:
    ran = run("@pytest.mark.xfail(reason='quirk')\ndef test_gone(vm): pass", GOOD)
    assert ran.outcome("test_gone") == "xpassed"
    assert ran.status == 1


def test_workers_of_xdist_tell_their_controller(run: Run) -> None:
    ran = run(DIES, LOST, GOOD, words=("-n", "1"))
    assert re.search(r"1 passed, 1 crashed, 1 infra", ran.text), ran.text
    assert ran.status == 1
