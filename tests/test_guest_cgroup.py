# SPDX-License-Identifier: GPL-2.0-only
"""What the guest's side of a memory cgroup does beyond a write to a file."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from kfunctest.guest import affinity, cgroup, removal
from kfunctest.machine.interface import Target
from kfunctest.machine.memcg import Memcg


class Played:
    """A target whose requests are run here."""

    lost = None

    def stretched(self, seconds: float) -> float:
        return seconds

    def call(self, function: Callable[..., object], *args: object) -> object:
        return function(*args)

    def call_within(self, _seconds: float, function: Callable[..., object], *args: object) -> object:
        return function(*args)


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """What is left of the cgroups at each grace period that is waited for."""
    left: list[list[str]] = []
    monkeypatch.setattr(cgroup, "ROOT", str(tmp_path))
    monkeypatch.setattr(cgroup, "write", lambda *_: None)
    monkeypatch.setattr(cgroup, "grace_period", lambda: left.append([str(path) for path in tmp_path.rglob("*")]))
    monkeypatch.setattr(removal, "WAKES_EARLY", ())
    return left


def test_the_kernel_is_given_time_to_look_at_what_was_removed(settled: list[list[str]], tmp_path: Path) -> None:
    """Once for a cgroup and its children, when none of them is left."""
    with Memcg(cast("Target", Played()), "parent") as memcg:
        memcg.child().child("grandchild")
        assert (tmp_path / "parent" / "child" / "grandchild").is_dir()
    assert settled == [[], []]


def test_who_wakes_before_the_callbacks_waits_once_more(
    settled: list[list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whichever parameter lets a grace period be over before its callbacks have run."""
    off, on, absent = (tmp_path.parent / name for name in ("off", "on", "absent"))
    off.write_text("0\n")
    on.write_text("1\n")
    monkeypatch.setattr(removal, "WAKES_EARLY", (str(off), str(on), str(absent)))
    with Memcg(cast("Target", Played()), "parent"):
        pass
    assert settled == [[], [], []]


def test_a_dying_task_is_waited_for_and_not_for_ever(settled: list[list[str]], tmp_path: Path) -> None:
    """A memcg that is removed before its last task has left ends later, when nobody listens any more."""
    place = tmp_path / "parent"
    place.mkdir()
    (place / "cgroup.events").write_text("populated 1\nfrozen 0\n")
    began = time.monotonic()
    with pytest.raises(OSError, match="not empty"):  # this one is no cgroup: its file is in the way
        removal.end([], ["parent"], 0.05, True)
    assert time.monotonic() - began >= 0.05
    assert len(settled) == 2


def test_whatever_fails_the_rest_is_removed(settled: list[list[str]], tmp_path: Path) -> None:
    """One is gone already, and a worker was reaped: nothing else is left behind for that, and the first is told."""
    (tmp_path / "parent").mkdir()
    with pytest.raises(FileNotFoundError, match="gone"):
        removal.end([12345], ["parent/gone", "parent"], 1.0, True)
    assert not (tmp_path / "parent").exists()
    assert settled == [[], []]


@pytest.mark.usefixtures("settled")
def test_one_cpu_removes_all_and_waits_for_its_callbacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others may have none to run, and be done before."""
    before = os.sched_getaffinity(0)
    asked: list[set[int]] = []
    monkeypatch.setattr(cgroup, "remove", lambda *_: asked.append(os.sched_getaffinity(0)))
    monkeypatch.setattr(cgroup, "grace_period", lambda: asked.append(os.sched_getaffinity(0)))
    removal.end([], ["parent/child", "parent"], 1.0, True)
    assert asked == [{min(before)}] * 4
    assert os.sched_getaffinity(0) == before


def test_callbacks_are_waited_for_on_each_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU runs those that were queued on it, and others may be done before."""
    before = os.sched_getaffinity(0)
    asked: list[set[int]] = []
    monkeypatch.setattr(cgroup, "grace_period", lambda: asked.append(os.sched_getaffinity(0)))
    monkeypatch.setattr(removal, "WAKES_EARLY", ())
    removal.wait_for_rcu_callbacks()
    assert asked == [{cpu} for cpu in sorted(before) for _ in range(2)]
    assert os.sched_getaffinity(0) == before


def test_a_cpu_that_is_offline_stays_allowed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It will be back, and what runs here may run there then."""
    status = tmp_path / "status"
    status.write_text("Name:\tx\nCpus_allowed:\t00000001,00000003\nCpus_allowed_list:\t0-1,32\n")
    monkeypatch.setattr(affinity, "_STATUS", str(status))
    assert affinity.allowed() == {0, 1, 32}


def test_a_grace_period_is_no_failure_and_no_wait_for_ever() -> None:
    began = time.monotonic()
    cgroup.grace_period()
    assert time.monotonic() - began < 30
