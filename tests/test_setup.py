# SPDX-License-Identifier: GPL-2.0-only
"""scripts/setup, on machines made up for the purpose: nothing is installed here."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from kfunctest import proc
from kfunctest.errors import InfraError
from kfunctest.kernels import apt
from kfunctest.setup import __main__ as command
from kfunctest.setup import needs, system, venv
from kfunctest.setup.needs import DISTRIBUTIONS, Need

CHECKOUT = Path(__file__).resolve().parents[1]
LACKING = Need("frobnicator", "frobs", lambda: False, ("frob-deb", "frob-ubu", "frob-rpm", "frob-arch"))


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout that holds nothing but pins, and a cache of its own."""
    monkeypatch.setenv("KFUNCTEST_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "checkout"
    folder.mkdir()
    (folder / "requirements.txt").write_text("pytest==9 --hash=sha256:00\n")
    return folder


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What setup would have run; making a virtual environment only makes its Python."""
    seen: list[list[str]] = []

    def fake(_what: str, argv: list[str], **_: object) -> None:
        seen.append(list(argv))
        if "venv" in argv:
            python = Path(argv[-1]) / "bin" / "python"
            python.parent.mkdir(parents=True, exist_ok=True)
            python.touch()

    for module in (system, venv):
        monkeypatch.setattr(module, "watch", fake)
    return seen


# -- where it may not be installed --------------------------------------------


@pytest.mark.parametrize(
    "text, expected",
    [
        ("ID=debian\n", "Debian"),
        ('ID=linuxmint\nID_LIKE="ubuntu debian"\n', "Ubuntu"),
        ("NAME='Nobara'\nID=nobara\nID_LIKE=\"fedora\"\n", "Fedora"),
        ("ID=endeavouros\nID_LIKE=arch\n", "Arch"),
        ("ID=nixos\n", None),
    ],
)
def test_a_distribution_is_known_by_itself_or_its_ancestors(tmp_path: Path, text: str, expected: str | None) -> None:
    (tmp_path / "os-release").write_text(text)
    assert system.distribution(tmp_path / "os-release") == expected


def test_a_machine_without_os_release_is_unknown(tmp_path: Path) -> None:
    assert system.distribution(tmp_path / "os-release") is None


@pytest.mark.parametrize(
    "here, remedy", [("Fedora", "sudo dnf install frob-rpm"), (None, "install the packages above")]
)
def test_without_apt_the_packages_are_named_and_nothing_is_done(
    here: str | None, remedy: str, checkout: Path, monkeypatch: pytest.MonkeyPatch, commands: list[list[str]]
) -> None:
    monkeypatch.setattr(system, "missing", lambda **_: (LACKING,))
    monkeypatch.setattr(needs, "missing", lambda **_: (LACKING,))
    monkeypatch.setattr(system, "distribution", lambda: here)
    with pytest.raises(InfraError) as raised:
        command.set_up(checkout)
    text = str(raised.value)
    assert all(word in text for word in (*DISTRIBUTIONS, *LACKING.packages, "frobnicator", remedy))
    assert commands == []
    assert not (checkout / ".venv").exists()


def test_without_root_and_sudo_the_packages_are_named(
    monkeypatch: pytest.MonkeyPatch, commands: list[list[str]], tmp_path: Path
) -> None:
    monkeypatch.setattr(system, "missing", lambda **_: (LACKING,))
    monkeypatch.setattr(system, "distribution", lambda: "Debian")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(proc, "find", lambda name: tmp_path / name if name == "apt-get" else None)
    with pytest.raises(InfraError, match=r"needs root.*run: sudo apt-get install frob-deb"):
        system.install_missing()
    assert commands == []


def test_apt_is_asked_for_what_is_missing_and_no_more(
    monkeypatch: pytest.MonkeyPatch, commands: list[list[str]], tmp_path: Path
) -> None:
    answers = iter([(LACKING, LACKING), ()])
    monkeypatch.setattr(system, "missing", lambda **_: next(answers))
    monkeypatch.setattr(system, "distribution", lambda: "Ubuntu")
    monkeypatch.setattr(system, "root_prefix", lambda: ["as-root"])
    monkeypatch.setattr(proc, "find", lambda name: tmp_path / name)
    system.install_missing()
    assert [argv[0] for argv in commands] == ["as-root", "as-root"]
    assert commands[0][-1] == "update"
    assert commands[1][-2:] == ["install", "frob-ubu"]


def test_what_apt_does_not_bring_is_said(monkeypatch: pytest.MonkeyPatch, commands: list[list[str]]) -> None:
    monkeypatch.setattr(system, "missing", lambda **_: (LACKING,))
    monkeypatch.setattr(system, "distribution", lambda: "Debian")
    monkeypatch.setattr(system, "root_prefix", list)
    monkeypatch.setattr(proc, "find", Path)
    with pytest.raises(InfraError, match="frobnicator: apt-get installed the packages, and these are still missing"):
        system.install_missing()
    assert len(commands) == 2


# -- two set-ups at once ------------------------------------------------------


def test_the_second_setup_starts_nothing(
    checkout: Path, commands: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(needs, "missing", lambda **_: ())
    monkeypatch.setattr(system, "missing", lambda **_: ())
    assert command.set_up(checkout)
    before = list(commands)
    assert not command.set_up(checkout)
    assert commands == before


def test_two_setups_at_once_make_one_environment(
    checkout: Path, commands: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    both_looked = threading.Barrier(2, timeout=20)
    looked = threading.local()

    def complete(place: Path) -> bool:
        """Both setups find the environment unfinished before either takes the lock."""
        found = is_complete(place)
        if not hasattr(looked, "done"):
            looked.done = True
            both_looked.wait()
        return found

    is_complete = venv.is_complete
    monkeypatch.setattr(venv, "is_complete", complete)
    monkeypatch.setattr(needs, "missing", lambda **_: ())
    threads = [threading.Thread(target=command.set_up, args=[checkout]) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len([argv for argv in commands if "pip" in argv]) == 1


def test_setup_knows_the_archives_keys_by_the_names_that_a_run_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """The list is written twice: setup runs before the packages are there that the other part imports."""
    (keys,) = (need for need in needs.NEEDS if need.what == "Debian's archive keys")
    seen: list[Path] = []
    monkeypatch.setattr(Path, "is_file", lambda self: seen.append(self))
    assert not keys.present()
    assert tuple(seen) == apt.KEYRINGS
