# SPDX-License-Identifier: GPL-2.0-only
"""The end of a disk in the guest's memory."""

from __future__ import annotations

import errno

import pytest

from kfunctest.guest import disks


def test_a_disk_that_somebody_looks_at_is_removed_a_moment_later(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []

    def write(path: str, text: str) -> None:
        written.append(f"{path.rpartition('/')[2]} {text}")
        if len(written) in (1, 3):
            raise OSError(errno.EBUSY, "Device or resource busy")

    monkeypatch.setattr(disks, "_write", write)
    disks.remove("/dev/zram7")
    assert written == ["reset 1", "reset 1", "hot_remove 7", "hot_remove 7"]


@pytest.mark.parametrize("number", [errno.EBUSY, errno.ENODEV])
def test_a_disk_that_stays_is_an_error(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def write(_path: str, _text: str) -> None:
        raise OSError(number, "no")

    monkeypatch.setattr(disks, "_write", write)
    monkeypatch.setattr(disks, "_LOOKED_AT", 0.05)
    with pytest.raises(OSError, match="no"):
        disks.remove("/dev/zram7")
