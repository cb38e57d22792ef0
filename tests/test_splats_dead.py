# SPDX-License-Identifier: GPL-2.0-only
"""Which complaints are found of a kernel that died or hung, on the console that it left."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.fake_vm_runs import GOOD, Ran, start

Run = Callable[..., Ran]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run tests in a pytest of its own, on a kernel that is played."""
    return partial(start, tmp_path)


def test_of_a_dead_kernel_the_console_tells(run: Run) -> None:
    body = "def test_deadly(vm):\n    vm.say(COMPLAINTS['oops'])\n    vm.lose(VmDied('it died', '...'))"
    ran = run(GOOD, body)
    assert ran.outcome("test_deadly") == "crashed"
    assert [splat["kind"] for splat in ran.all("splats")] == ["oops"]
    (log,) = [str(it["log"]) for it in ran.phases if it["outcome"] == "crashed"]
    assert "NULL pointer dereference" in log
    assert "all is well" not in log


def test_of_a_console_that_was_behind_the_next_test_is_not_blamed(run: Run) -> None:
    """QEMU is killed when the console shows what an earlier test made the kernel say, and nothing since."""
    ran = run(
        "def test_bad(vm):\n    vm.unprinted = []\n    vm.say(WARN)",
        "def test_killed(vm):\n    for line in vm.unprinted[:len(WARN.splitlines())]:\n        vm.print(line)\n"
        "    vm.lose(VmDied('QEMU was killed', '...'))",
    )
    assert (ran.outcome("test_bad"), ran.outcome("test_killed")) == ("failed", "crashed")
    assert [splat["kind"] for splat in ran.all("splats")] == ["warn"]


HANGS = (
    "from kfunctest.errors import VmHung\n"
    "def test_hangs(vm):\n    vm.say({!r})\n    vm.lose(VmHung('no answer', '...'))"
)
#: What a kernel says of an NMI that it cannot explain, and was told to panic of.
NMI = (
    "Uhhuh. NMI received for unknown reason 30 on CPU 1.\nDazed and confused, but trying to continue\n"
    "Kernel panic - not syncing: NMI: Not continuing\nCPU: 1 UID: 0 PID: 7 Comm: python3\nCall Trace:\n <NMI>\n </NMI>"
)


def test_the_panic_that_we_asked_a_hung_kernel_for_is_no_complaint(run: Run) -> None:
    ran = run(HANGS.format(NMI))
    assert ran.outcome("test_hangs") == "hung"
    assert ran.all("splats") == []
    assert "Not continuing" in str([it["log"] for it in ran.phases]), "the log has it all the same"


def test_a_panic_of_a_hung_kernels_own_is_one(run: Run) -> None:
    ran = run(HANGS.format("Kernel panic - not syncing: Fatal exception in interrupt\n" + NMI))
    assert ran.outcome("test_hangs") == "hung"
    assert [splat["line"] for splat in ran.all("splats")] == [
        "Kernel panic - not syncing: Fatal exception in interrupt"
    ]


def test_an_nmi_that_nobody_sent_is_the_kernels(run: Run) -> None:
    ran = run(HANGS.format(NMI).replace("VmHung", "VmDied"))
    assert ran.outcome("test_hangs") == "crashed"
    assert [splat["kind"] for splat in ran.all("splats")] == ["panic"]
