# SPDX-License-Identifier: GPL-2.0-only
"""What the kernel logged meanwhile: no more than that, and not before the console has caught up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from kfunctest.target import kernel_log
from kfunctest.target.accelerator import Accelerator
from kfunctest.target.console import Console
from kfunctest.target.kernel_log import logged
from kfunctest.target.vm import Vm


class FakeVm:
    """A guest with a console, and a log that reaches it unless it is stuck."""

    def __init__(self, console: Path, *, stuck: bool = False) -> None:
        self.console = Console(console)
        self.accelerator = Accelerator("fake", why="", slowdown=1)
        self._stuck = stuck

    def print(self, line: str) -> None:
        with self.console.path.open("a") as file:
            file.write(f"[1.0] {line}\n")

    def call(self, _function: Callable[..., None], path: str, text: str) -> None:
        assert path == "/dev/kmsg"
        if not self._stuck:
            self.print(text.removeprefix("<6>").rstrip())


def log_of(vm: FakeVm, action: Callable[[], Any]) -> tuple[Any, str]:
    return logged(cast("Vm", vm), action)


def test_only_what_was_logged_meanwhile(tmp_path: Path) -> None:
    vm = FakeVm(tmp_path / "console")

    def meanwhile() -> int:
        vm.print("WARNING: meanwhile")
        return 7

    vm.print("WARNING: before")
    result, log = log_of(vm, meanwhile)
    vm.print("WARNING: after")
    assert result == 7
    assert "meanwhile" in log
    assert "before" not in log
    assert "after" not in log
    assert "WARNING" not in log_of(vm, lambda: None)[1]


def test_a_console_that_never_catches_up_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_log, "CATCH_UP_SECONDS", 0.05)
    with pytest.raises(TimeoutError, match="the kernel's log to reach the console"):
        log_of(FakeVm(tmp_path / "console", stuck=True), lambda: None)
