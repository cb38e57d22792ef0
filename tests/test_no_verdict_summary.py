# SPDX-License-Identifier: GPL-2.0-only
"""What a run says last that has told little of a kernel; and which console a result leads to."""

from __future__ import annotations

from pathlib import Path

from tests import childsuite

INFRA = 3
ONE_CAUSE = """
from kfunctest.errors import InfraError

def why(number):
    problem, remedy = "the VM did not boot: QEMU: no memory", "to see it: vng"
    error = InfraError(f"not tried: {problem}" if number >= 2 else problem, remedy=remedy)
    error.untried = f"{problem}; {remedy}" if number >= 2 else ""
    return error

@pytest.mark.parametrize("number", range(5))
def test_it(kernel, number): raise why(number)
"""


def test_what_stopped_every_test_is_the_last_line_and_told_once(tmp_path: Path, image: Path) -> None:
    child = childsuite.write(tmp_path / "child", image, ONE_CAUSE)
    done = child.judge()
    lines = (done.stdout + done.stderr).splitlines()
    assert done.status == INFRA, done.stdout
    reason = "the VM did not boot: QEMU: no memory; to see it: vng"
    assert lines[-1] == f"kfunctest: 5 tests were not judged, for one reason: {reason}"
    short = [line.replace("test_all.py::", "") for line in lines if line.startswith("INFRA ")]
    tried = [f"INFRA test_it[{number}] - {reason}" for number in (0, 1)]
    assert short == [*tried, "INFRA 3 more, not tried: 2 boots in a row had failed"]
    assert len(child.run.results) == 5, "the reports have every test"


def test_what_stopped_two_tests_is_said_with_them_only(tmp_path: Path, image: Path) -> None:
    child = childsuite.write(tmp_path / "child", image, ONE_CAUSE.replace("range(5)", "range(2)"))
    done = child.judge()
    assert done.status == INFRA, done.stdout
    assert "for one reason" not in done.stdout + done.stderr


CONSOLES = """
from kfunctest.plugin import SESSION

@pytest.fixture
def vm(request, kernel):
    request.config.stash[SESSION].console = "console-x-1.log"
    return None

def test_none_yet(kernel): pass
def test_in_a_vm(vm): assert 0
def test_without(kernel): pass
"""


def test_a_result_names_the_console_of_the_vm_that_it_asked_for(tmp_path: Path, image: Path) -> None:
    child = childsuite.write(tmp_path / "child", image, CONSOLES)
    child.judge()
    consoles = {result.test.partition("::")[2]: result.console for result in child.run.results}
    assert consoles == {"test_none_yet": "", "test_in_a_vm": "console-x-1.log", "test_without": ""}
    assert 'href="./console-x-1.log"' in (child.latest / "report.html").read_text()
