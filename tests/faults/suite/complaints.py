# SPDX-License-Identifier: GPL-2.0-only
"""A suite during which the kernel complains, and dies of nothing; tests/faults/test_complaints.py runs it."""

from __future__ import annotations

import pytest

from kfunctest.guest import crash_triggers
from kfunctest.machine.vm import Vm
from kfunctest.plugin import SESSION

pytestmark = pytest.mark.kfunc

#: Of LKDTM, drivers/misc/lkdtm/: WARN_ON(), and a WARN_ONCE() of lib/refcount.c.
WARN, ONCE = "WARNING", "REFCOUNT_INC_ZERO"


def test_before(vm: Vm) -> None:
    pass


def test_warn(vm: Vm) -> None:
    vm.call(crash_triggers.provoke, WARN)


def test_after_warn(vm: Vm) -> None:
    pass


def test_once(vm: Vm) -> None:
    vm.call(crash_triggers.provoke, ONCE)


def test_once_more(vm: Vm) -> None:
    vm.call(crash_triggers.provoke, ONCE)


@pytest.mark.expect_splat("warn", match="lkdtm_WARNING")
def test_expected(vm: Vm) -> None:
    vm.call(crash_triggers.provoke, WARN)


@pytest.mark.expect_splat("warn")
def test_expected_in_vain(vm: Vm) -> None:
    pass


@pytest.mark.xfail(reason="a quirk of values", strict=True)
def test_quirk(vm: Vm) -> None:
    vm.call(crash_triggers.provoke, WARN)
    raise AssertionError("the quirk")


def test_none_running(request: pytest.FixtureRequest) -> None:
    """Takes no VM, so that for the kernel no test runs."""
    running = request.config.stash[SESSION].running
    assert running
    running.call(crash_triggers.provoke, WARN)


def test_after(vm: Vm) -> None:
    pass
