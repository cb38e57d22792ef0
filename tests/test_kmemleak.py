# SPDX-License-Identifier: GPL-2.0-only
"""What a kernel with kmemleak has leaked is looked for at the end of each of its boots, and blamed on no test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from kfunctest.guest import kmemleak
from tests.fake_vm_runs import GOOD, Ran, start

Run = Callable[..., Ran]

#: How the scans of a kernel that has kmemleak go: each adds a line to ``scanned``.
HAS_KMEMLEAK = """
from kfunctest.errors import GuestError, VmHung
def hold(self):
    self.held, self.leaked = True, 0
def scan(self):
    with Path("scanned").open("a") as out: print(self.held, file=out)
    if self.leaked: self.say(f"kmemleak: {self.leaked} new suspected memory leaks (see /sys/kernel/debug/kmemleak)")
    return "unreferenced object 0xffff888001 (size 256):\\n  comm \\"python3\\", pid 7" if self.leaked else ""
FakeVm._hold, FakeVm._scan = hold, scan
"""
LEAKS = "def test_leaks(vm): vm.leaked = 3"
SPENDS = "@pytest.mark.expect_splat('ubsan')\ndef test_spends(vm): vm.say(COMPLAINTS['ubsan'])"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run tests in a pytest of its own, on a kernel that is played and has kmemleak, and these ``options``."""

    def on_kmemleak(*tests: str, words: tuple[str, ...] = (), **options: str) -> Ran:
        options = {"CONFIG_DEBUG_KMEMLEAK": "y", **options}
        return start(tmp_path, HAS_KMEMLEAK, *tests, words=words, options=options)

    return on_kmemleak


def scans(folder: Path) -> list[str]:
    """A line for each scan: whether kmemleak had been kept from scanning by itself."""
    return (folder / "scanned").read_text().split() if (folder / "scanned").exists() else []


@pytest.mark.parametrize("words", [(), ("-n", "1")])
def test_a_leak_is_found_at_the_end_of_the_run(run: Run, tmp_path: Path, words: tuple[str, ...]) -> None:
    ran = run(LEAKS, GOOD, words=words)
    assert [ran.outcome(name) for name in ("test_leaks", "test_good")] == ["passed", "passed"]
    assert "7.9.1, after test_it.py::test_good, at the end of the run:" in ran.text
    assert "kmemleak: 3 new suspected memory leaks" in ran.text
    assert 'comm "python3", pid 7' in ran.text, "what was leaked, and by whom, is shown"
    assert ran.status == 1
    assert scans(tmp_path) == ["True"]


def test_each_boot_is_scanned_before_the_next(run: Run, tmp_path: Path) -> None:
    ran = run(LEAKS, SPENDS, GOOD)
    (found,) = ran.all("between")
    assert (found["after"], found["before"]) == ("test_it.py::test_spends", "test_it.py::test_good")
    assert ran.outcome("test_good") == "passed"
    assert ran.status == 1
    assert scans(tmp_path) == ["True", "True"]


def test_no_leak_is_no_complaint(run: Run, tmp_path: Path) -> None:
    ran = run(GOOD)
    assert ran.status == 0, ran.text
    assert scans(tmp_path) == ["True"]


def test_a_machine_that_is_lost_in_the_scan_leaves_a_doubt(run: Run) -> None:
    ran = run("FakeVm._scan = lambda self: self.lose(VmLost('QEMU was killed', '...'))", GOOD)
    assert "and leaks were not looked for (QEMU was killed)" in ran.text.splitlines()[-1]
    assert ran.status == 3


@pytest.mark.parametrize("words", [(), ("-n", "1")])
def test_a_scan_that_cannot_be_is_said(run: Run, words: tuple[str, ...]) -> None:
    """The kernel has the option, but its kmemleak gave up, or there is no debugfs."""
    gone = (
        "def gone(self): raise GuestError('FileNotFoundError', '/sys/kernel/debug/kmemleak', '')\nFakeVm._scan = gone"
    )
    ran = run(gone, GOOD, words=words)
    assert ran.outcome("test_good") == "passed"
    assert ran.text.splitlines()[-1] == (
        "kfunctest: 7.9.1 has CONFIG_DEBUG_KMEMLEAK, and leaks were not looked for "
        "(FileNotFoundError: /sys/kernel/debug/kmemleak)"
    )
    assert ran.status == 3


def test_a_kernel_that_hangs_in_the_scan_has_not_passed(run: Run) -> None:
    ran = run("FakeVm._scan = lambda self: self.lose(VmHung('during scan: no answer', '...'))", GOOD)
    assert "died: during scan: no answer" in ran.text
    assert ran.status == 1


def test_one_that_is_off_by_default_is_left_alone(run: Run, tmp_path: Path) -> None:
    assert run(GOOD, CONFIG_DEBUG_KMEMLEAK_DEFAULT_OFF="y").status == 0
    assert scans(tmp_path) == []


def test_a_kernel_that_died_is_not_scanned(run: Run, tmp_path: Path) -> None:
    ran = run("def test_deadly(vm): vm.lose(VmDied('it died', '...'))")
    assert (ran.outcome("test_deadly"), ran.status) == ("crashed", 1)
    assert scans(tmp_path) == []


def test_two_scans_far_enough_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one takes checksums; the second reports what was five seconds old when it began."""
    played = tmp_path / "kmemleak"
    played.touch()
    now = [100.0]
    told: list[tuple[float, str]] = []
    tell = kmemleak._tell

    def tell_and_note(what: str) -> None:
        told.append((now[0], what))
        tell(what)

    def sleep(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(kmemleak, "FILE", str(played))
    monkeypatch.setattr(kmemleak, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
    monkeypatch.setattr(kmemleak, "_tell", tell_and_note)
    assert kmemleak.scan() == "scan", "the file's content is returned"
    assert [what for _, what in told] == ["scan", "scan"]
    assert told[1][0] - told[0][0] > 5.0
