# SPDX-License-Identifier: GPL-2.0-only
"""A complaint that is still being printed when its test ends is not blamed on the test that follows."""

from __future__ import annotations

from pathlib import Path

from tests.fake_vm_runs import start

BEGINS = "vm.say('WARNING: CPU: 0 PID: 9 at mm/made_up.c:12 made_up+0x1/0x2')"
STACK = "vm.say('Call Trace:\\n <TASK>\\n made_up_caller+0x2a/0x90\\n </TASK>')"


def test_its_stack_is_not_the_next_tests(tmp_path: Path) -> None:
    tests = {"test_bad": BEGINS, "test_next": STACK, "test_last": STACK}
    ran = start(tmp_path, *(f"def {name}(vm): {body}" for name, body in tests.items()))
    assert [ran.outcome(name) for name in tests] == ["failed", "passed", "failed"]
    assert ran.message("test_last") == "the kernel complained: stack: Call Trace:"
