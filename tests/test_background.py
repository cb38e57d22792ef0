# SPDX-License-Identifier: GPL-2.0-only
"""The list of what a kernel does by itself, and how it is put to sleep, woken, and left as it was."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from kfunctest.guest import background
from kfunctest.guest.background import SETTINGS, Setting

GUEST = Path(background.__file__).parent


def test_each_setting_has_two_values_and_says_what_it_is_about() -> None:
    assert len({setting.path for setting in SETTINGS}) == len(SETTINGS)
    for setting in SETTINGS:
        assert setting.path.startswith(("/sys/kernel/mm/", "/proc/sys/")), setting.path
        assert setting.asleep != setting.frantic, setting.path
        assert re.search(r"\w+\(\), [\w/-]+\.c$", setting.why), f"{setting.path}: no function of the kernel in its why"


@pytest.mark.parametrize(
    "what", ["khugepaged", "compact", "ksm", "writeback", "stat_interval", "numa_balancing", "boost"]
)
def test_what_is_known_to_change_values_is_on_the_list(what: str) -> None:
    assert any(what in setting.path for setting in SETTINGS)


@pytest.mark.parametrize("what", ["periodic flusher", "kswapd", "udev"])
def test_what_cannot_be_put_to_sleep_has_a_reason(what: str) -> None:
    assert len(background.UNSETTABLE[what].split()) > 5


def test_a_guest_of_ours_begins_with_all_of_it_asleep() -> None:
    """Before any worker is there; the agent of another machine is no business of main.py."""
    source = (GUEST / "main.py").read_text()
    assert "background.put_to_sleep(ours=True)" in source
    assert source.index("put_to_sleep") < source.index("serve(io")


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Three settings, of which this kernel lacks the last; of the second its owner is to decide."""
    paths = [tmp_path / name for name in ("scan", "writeback", "absent")]
    settings = [Setting(str(path), "0", "9", "", safe=path.name != "writeback") for path in paths]
    monkeypatch.setattr(background, "SETTINGS", settings)
    for path in paths[:2]:
        path.write_text("5\n")
    return paths


def test_asleep_and_as_before_again(files: list[Path]) -> None:
    before = background.put_to_sleep(ours=True)
    assert background.values() == {str(files[0]): "0", str(files[1]): "0", str(files[2]): None}
    assert not files[2].exists(), "a setting that the kernel lacks was made"
    assert background.restore(before) == []
    assert background.values() == {str(files[0]): "5", str(files[1]): "5", str(files[2]): None}


def test_on_somebody_elses_machine_its_owner_decides_when_files_are_written(files: list[Path]) -> None:
    background.put_to_sleep(ours=False)
    assert [path.read_text().strip() for path in files[:2]] == ["0", "5"]


def test_of_two_runs_on_one_machine_the_first_gives_back_what_was_before_both(files: list[Path]) -> None:
    first = background.put_to_sleep(ours=False)
    second = background.put_to_sleep(ours=False)
    background.restore(first)
    background.restore(second)
    assert files[0].read_text() == "5"


def test_what_cannot_be_given_back_is_named(files: list[Path]) -> None:
    before = background.put_to_sleep(ours=True)
    files[1].unlink()
    files[1].mkdir()
    assert background.restore(before) == [str(files[1])]


def test_what_a_test_holds_still_is_given_back_frantic(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: ())  # of no CPU a busy process is started here
    background.make_frantic()
    assert [path.read_text().strip() for path in files[:2]] == ["9", "9"]
    before = background.hold([str(files[0]), str(files[2])])
    assert [path.read_text().strip() for path in files[:2]] == ["0", "9"]
    background.restore(before)
    assert [path.read_text().strip() for path in files[:2]] == ["9", "9"]


def test_who_holds_a_thread_of_the_kernel_waits_until_it_sleeps(
    files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its state as /proc has it: it runs, waits for CPUs, runs, and then sleeps."""
    states = iter("RRDRS")  # the first when it is looked for

    def read(path: str) -> str:
        if not path.startswith("/proc/"):
            return Path(path).read_text()
        return {"1": "1 (init) R 0", "7": "7 (x) kcompactd0) R 2"}.get(path.split("/")[2]) or (
            f"9 (kcompactd0) {next(states)} 2"
        )

    monkeypatch.setattr(background, "SETTINGS", [Setting(str(files[0]), "0", "9", "", thread="kcompactd")])
    monkeypatch.setattr(background, "read_file", read)
    monkeypatch.setattr(os, "listdir", lambda _: ["1", "7", "9", "self"])
    background.hold([str(files[0])])
    assert list(states) == [], "it was not waited for until it slept"
