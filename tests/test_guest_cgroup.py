# SPDX-License-Identifier: GPL-2.0-only
"""What the guest's side of a memory cgroup does beyond a write to a file."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from kfunctest.guest import cgroup
from kfunctest.target.memcg import Memcg
from kfunctest.target.protocol import Target


class Played:
    """A target whose requests are run here."""

    lost = None

    def stretched(self, seconds: float) -> float:
        return seconds

    def call(self, function: Callable[..., object], *args: object) -> object:
        return function(*args)


def test_the_kernel_is_given_time_to_look_at_what_was_removed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Once for a cgroup and its children, when none of them is left."""
    left: list[list[str]] = []
    monkeypatch.setattr(cgroup, "ROOT", str(tmp_path))
    monkeypatch.setattr(cgroup, "write", lambda *_: None)
    monkeypatch.setattr(cgroup, "grace_period", lambda: left.append([str(path) for path in tmp_path.rglob("*")]))
    with Memcg(cast("Target", Played()), "parent") as memcg:
        memcg.child()
        assert (tmp_path / "parent" / "child").is_dir()
    assert left == [[], []]


def test_a_grace_period_is_no_failure_and_no_wait_for_ever() -> None:
    began = time.monotonic()
    cgroup.grace_period()
    assert time.monotonic() - began < 30
