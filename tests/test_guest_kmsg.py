# SPDX-License-Identifier: GPL-2.0-only
"""The guest's side of the kernel's log, where it cannot be followed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kfunctest.guest import kmsg, survey


def test_a_log_that_cannot_be_followed_is_not_kept_open(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "kmsg").touch()

    def refused(mark: str) -> None:
        raise PermissionError(mark)

    monkeypatch.setattr(kmsg, "DEVICE", str(tmp_path / "kmsg"))
    monkeypatch.setattr(kmsg, "_write", refused)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(PermissionError):
        kmsg.follow(False)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_machine_without_a_log_can_judge_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(kmsg, "DEVICE", str(tmp_path / "kmsg"))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert "its log cannot be read" in survey.unfit()
    assert "kmsg" in survey.unfit()
