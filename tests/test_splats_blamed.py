# SPDX-License-Identifier: GPL-2.0-only
"""Who is blamed for what the kernel complains of: the test that ran, no other; between tests nobody, and the run fails.

The kernel is played: a log in memory behind the functions that the guest's agent would run.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from kfunctest import results
from kfunctest.results import Outcome
from tests.fake_vm_runs import BAD, GOOD, Ran, start
from tests.kernellogs import COMPLAINTS

Run = Callable[..., Ran]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run tests in a pytest of its own, on a kernel that is played and says ``boot_log`` while it boots."""
    return partial(start, tmp_path)


def test_the_test_that_ran_fails_and_no_other(run: Run) -> None:
    ran = run(GOOD, BAD, GOOD.replace("good", "good_too"))
    assert [ran.outcome(name) for name in ("test_good", "test_bad", "test_good_too")] == ["passed", "failed", "passed"]
    assert ran.message("test_bad").startswith("the kernel complained: warn: WARNING: mm/made_up.c:12 at made_up")
    assert ran.status == 1
    assert "[ cut here ]" in ran.text
    assert "1 failed, 2 passed" in ran.text


def test_each_slice_of_the_log_is_the_tests_own(run: Run) -> None:
    ran = run(GOOD, "def test_other(vm): vm.say('something else')")
    logs = {str(it["test"]).partition("::")[2]: it["log"] for it in ran.phases if it["when"] == "call"}
    assert "all is well" in str(logs["test_good"])
    assert "something else" not in str(logs["test_good"])
    assert "all is well" not in str(logs["test_other"])
    assert "something else" in str(logs["test_other"])


@pytest.mark.parametrize("body", ["assert 0", "pytest.skip('not applicable: x')", "pytest.xfail('known')", "pass"])
def test_nothing_excuses_a_complaint(run: Run, body: str) -> None:
    """Neither a skip, nor a mark: a known quirk is one of values."""
    ran = run(f"@pytest.mark.xfail(reason='a quirk', strict=True)\ndef test_bad(vm):\n    vm.say(WARN)\n    {body}")
    assert ran.outcome("test_bad") == "failed"
    assert "the kernel complained: warn" in ran.message("test_bad")
    assert ran.status == 1


def test_a_failure_keeps_its_own_words(run: Run) -> None:
    ran = run("def test_bad(vm):\n    vm.say(WARN)\n    assert 3 == 4")
    assert ran.message("test_bad").startswith("assert 3 == 4; the kernel complained: warn")
    assert "[ cut here ]" in ran.text


@pytest.mark.parametrize("fixture, phase", [("early", "call"), ("late", "teardown")])
def test_what_a_fixture_makes_the_kernel_say_is_the_tests(run: Run, fixture: str, phase: str) -> None:
    ran = run(f"def test_bad({fixture}): pass", GOOD)
    assert (ran.outcome("test_bad"), ran.outcome("test_good")) == ("failed", "passed")
    assert [it["when"] for it in ran.phases if it["outcome"] == "failed"] == [phase]
    assert ran.status == 1


def test_a_fixture_that_skips_after_a_complaint(run: Run) -> None:
    body = "@pytest.fixture\ndef quits(early):\n    pytest.skip('not applicable: x')\ndef test_bad(quits): pass"
    assert run(body, GOOD).outcome("test_bad") == "failed"


def test_a_warning_that_speaks_once_speaks_in_each_test(run: Run) -> None:
    ran = run("def test_first(vm): vm.warn_once()", "def test_second(vm): vm.warn_once()")
    assert (ran.outcome("test_first"), ran.outcome("test_second")) == ("failed", "failed")


def test_a_kernel_that_speaks_once_a_boot_is_booted_anew(run: Run) -> None:
    bad = "def test_bad(vm): vm.say(COMPLAINTS['ubsan'])"
    ran = run(bad, "def test_good(vm, boots): assert len(boots) == 2")
    assert (ran.outcome("test_bad"), ran.outcome("test_good")) == ("failed", "passed")


def test_a_kernel_that_only_warned_is_not(run: Run) -> None:
    assert run(BAD, "def test_good(vm, boots): assert len(boots) == 1").outcome("test_good") == "passed"


def test_an_expected_complaint_passes(run: Run) -> None:
    ran = run(f"@pytest.mark.expect_splat('warn', match=r'made_up\\.c:12')\n{BAD}")
    assert ran.outcome("test_bad") == "passed"
    assert [splat["expected"] for splat in ran.all("splats")] == [True]
    assert ran.status == 0


@pytest.mark.parametrize("mark", ["'kasan'", "'warn', match='elsewhere'"])
def test_another_complaint_than_was_expected_fails(run: Run, mark: str) -> None:
    ran = run(f"@pytest.mark.expect_splat({mark})\n{BAD}")
    assert ran.message("test_bad").startswith("the kernel complained: warn")


def test_an_expected_complaint_that_does_not_come_fails(run: Run) -> None:
    ran = run(f"@pytest.mark.expect_splat('warn', match='made_up')\n{GOOD}")
    assert ran.outcome("test_good") == "failed"
    assert ran.message("test_good") == "the kernel was expected to complain, and did not: warn matching 'made_up'"


def test_a_test_may_say_what_it_expects_while_it_runs(run: Run) -> None:
    body = "def test_bad(vm, request):\n    request.applymarker(pytest.mark.expect_splat('warn'))\n    vm.say(WARN)"
    assert run(body).outcome("test_bad") == "passed"


@pytest.mark.parametrize(
    "mark, why",
    [
        ("'wran'", "there is no such kind; choose among atomic, bad-page"),
        ("'warn', match='('", "is no regular expression"),
        ("'panic'", "nothing excuses a kernel that dies"),
        ("", "takes one kind and match="),
        ("'warn', regex='a'", "takes one kind and match="),
    ],
)
def test_a_mark_that_can_never_be_met_is_refused(run: Run, mark: str, why: str) -> None:
    ran = run(f"@pytest.mark.expect_splat({mark})\n{GOOD}")
    assert ran.status == 4
    assert why in ran.text


def test_between_two_tests_nobody_is_blamed_and_the_run_fails(run: Run) -> None:
    between = "def test_between(request): request.config.stash[SESSION].running.say(WARN)"
    ran = run("def test_before(vm): pass", between, "def test_then(vm): pass")
    assert [ran.outcome(name) for name in ("test_before", "test_between", "test_then")] == ["passed"] * 3
    (found,) = ran.all("between")
    assert (found["after"], found["before"]) == ("test_it.py::test_before", "test_it.py::test_then")
    assert ran.status == 1
    assert "7.9.1, after test_it.py::test_before, before test_it.py::test_then:" in ran.text


def test_while_booting_nobody_is_blamed_and_the_run_fails(run: Run) -> None:
    ran = run(GOOD, boot_log=COMPLAINTS["warn"])
    (found,) = ran.all("between")
    assert (found["after"], found["before"]) == ("", "test_it.py::test_good")
    assert ran.outcome("test_good") == "passed"
    assert ran.status == 1
    assert "7.9.1, while booting, before test_it.py::test_good:" in ran.text


def test_after_the_last_test_nobody_is_blamed_and_the_run_fails(run: Run) -> None:
    ran = run(GOOD, "def test_without(request): request.config.stash[SESSION].running.say(WARN)")
    assert ran.status == 1
    assert "7.9.1, after test_it.py::test_good, at the end of the run:" in ran.text


def test_a_kernel_that_dies_between_tests_is_nobodys_crash(run: Run) -> None:
    ran = run("def test_before(vm): vm.dies_at = 'begin'", "def test_then(vm, boots): assert len(boots) == 2")
    assert (ran.outcome("test_before"), ran.outcome("test_then")) == ("passed", "passed")
    (found,) = ran.all("between")
    assert [splat["kind"] for splat in found["splats"]] == ["panic"]  # type: ignore[attr-defined]
    assert ran.status == 1


def test_a_kernel_that_dies_while_a_test_is_looked_at_is_that_tests_crash(run: Run) -> None:
    ran = run("def test_deadly(vm): vm.dies_at = 'called'", GOOD)
    assert (ran.outcome("test_deadly"), ran.outcome("test_good")) == ("crashed", "passed")
    assert [splat["kind"] for splat in ran.all("splats")] == ["panic"]


def test_what_the_buffer_lost_the_console_has(run: Run) -> None:
    ran = run("def test_bad(vm):\n    vm.room = 3\n    vm.say(WARN)\n    vm.say('x\\n' * 20)")
    assert [splat["kind"] for splat in ran.all("splats")] == ["warn"]


def test_what_both_lost_is_never_a_pass(run: Run) -> None:
    flood = "def test_bad(vm):\n    vm.room = 3\n    vm.say('x\\n' * 20)\n"
    ran = run(flood + "    with vm.console.path.open('a') as out: print('** 17 printk messages dropped **', file=out)")
    assert ran.outcome("test_bad") == "failed"
    assert "17 records of the kernel's log were lost" in ran.message("test_bad")


@pytest.mark.parametrize(
    "body, word",
    [
        ("vm.lose(VmLost('the agent was killed', '...'))", "the agent was killed"),
        ("raise InfraError('no space left')", "no space left"),
        ("vm.lost = VmLost('the agent was killed', '...')", "the agent was killed"),
        ("vm.lost = VmLost('the agent was killed', '...')\n    pytest.skip('why not')", "the agent was killed"),
    ],
)
def test_a_machine_that_fails_after_a_complaint_unsays_none(run: Run, body: str, word: str) -> None:
    ran = run(f"from kfunctest.errors import InfraError\ndef test_bad(vm):\n    vm.say(WARN)\n    {body}")
    assert ran.outcome("test_bad") == "failed"
    assert ran.message("test_bad").startswith(f"{word}; the kernel complained: warn: WARNING: mm/made_up.c:12")
    assert "[ cut here ]" in ran.text
    assert ran.status == 1


def test_a_complaint_on_the_way_out_is_not_hidden_by_the_machine(run: Run, tmp_path: Path) -> None:
    ran = run("from kfunctest.errors import InfraError\ndef test_bad(late): raise InfraError('no space left')")
    assert ran.status == 1
    (result,) = results.read(tmp_path / "results" / "latest" / results.NAME).results
    assert result.outcome is Outcome.FAILED
    assert result.message.startswith("no space left; the kernel complained: warn")


def test_a_log_that_cannot_be_followed_is_the_machines_fault(run: Run) -> None:
    closed = "def closed(self, whole): raise GuestError('PermissionError', 'not this log', '')\nFakeVm._follow = closed"
    ran = run(f"from kfunctest.errors import GuestError\n{closed}", GOOD)
    assert ran.outcome("test_good") == "infra"
    assert ran.status == 3
    assert "PermissionError: not this log); boot without printk.devkmsg=off" in ran.text


def test_what_each_boot_makes_the_kernel_say_boots_nothing_anew(run: Run) -> None:
    ran = run(GOOD, "def test_next(vm, boots): assert len(boots) == 1", boot_log=COMPLAINTS["ubsan"])
    assert ran.outcome("test_next") == "passed"
    assert ran.status == 1


def test_a_second_boot_is_a_boot(run: Run) -> None:
    ran = run("def test_bad(vm): vm.say(COMPLAINTS['ubsan'])", GOOD, boot_log=COMPLAINTS["warn"])
    assert [found["after"] for found in ran.all("between")] == ["", ""]
    assert "7.9.1, while booting, before test_it.py::test_good:" in ran.text


def test_what_is_left_behind_counts(run: Run) -> None:
    ran = run(
        "from kfunctest.errors import InfraError",
        "def test_good(vm, request):\n    session = request.config.stash[SESSION]\n"
        "    session._owned.callback(lambda: session.left_behind.append(InfraError('something was left behind')))",
    )
    assert "something was left behind" in ran.text.splitlines()[-1]
    assert ran.status == 3


def test_taint_that_the_log_does_not_explain(run: Run) -> None:
    ran = run("def test_bad(vm): vm.taint = 1 << 5", GOOD)
    assert "the kernel is tainted B (a bad page was met)" in ran.message("test_bad")
    assert ran.outcome("test_good") == "passed"


def test_taint_that_a_complaint_explains_is_said_once(run: Run) -> None:
    ran = run("def test_bad(vm):\n    vm.taint = 1 << 9\n    vm.say(WARN)")
    assert [splat["kind"] for splat in ran.all("splats")] == ["warn"]


@pytest.mark.parametrize("words", [(), ("-n", "1")])
def test_workers_tell_their_controller(run: Run, words: tuple[str, ...]) -> None:
    ran = run(
        GOOD,
        "def test_without(request): request.config.stash[SESSION].running.say(WARN)",
        boot_log=COMPLAINTS["warn"],
        words=words,
    )
    assert "while booting, before test_it.py::test_good:" in ran.text
    assert "after test_it.py::test_good, at the end of the run:" in ran.text
    assert ran.status == 1


def test_a_kernel_that_is_asked_for_nothing_is_looked_at_once_in_a_while(run: Run, tmp_path: Path) -> None:
    """A test whose answers are known already costs no look, and a long one that asks nothing is not overlooked."""
    quiet = [f"def test_quiet_{number}(vm): vm.in_peace = True" for number in range(20)]
    ran = run(*quiet, "def test_waits(vm):\n    time.sleep(0.2)\n    vm.say(WARN)", GOOD)
    looks = [line for line in (tmp_path / "console-1").read_text().splitlines() if "kfunctest: " in line]
    assert len(looks) < 2 * len(quiet), looks
    assert ran.outcome("test_waits") == "failed"
    assert {ran.outcome(f"test_quiet_{number}") for number in range(20)} == {"passed"}


def test_what_follows_a_test_is_not_the_next_ones_though_nobody_asks(run: Run) -> None:
    """The next one begins with a look of its own where the one before had the kernel do anything."""
    before = "def test_before(vm): vm.in_peace, vm.requests = True, vm.requests + 1"
    between = "def test_between(request): request.config.stash[SESSION].running.say(WARN)"
    ran = run(before, between, "def test_then(vm): pass")
    assert [ran.outcome(name) for name in ("test_before", "test_between", "test_then")] == ["passed"] * 3
    assert len(ran.all("between")) == 1
    assert ran.status == 1


def test_the_end_of_a_run_is_looked_at_though_nobody_asks(run: Run) -> None:
    between = "def test_between(request): request.config.stash[SESSION].running.say(WARN)"
    ran = run("def test_before(vm): vm.in_peace = True", between)
    assert [ran.outcome(name) for name in ("test_before", "test_between")] == ["passed"] * 2
    assert ran.status == 1
    assert "SPLATS BETWEEN TESTS" in ran.text
