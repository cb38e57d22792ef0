# SPDX-License-Identifier: GPL-2.0-only
"""How scripts/setup looks at a machine, on machines made up for the purpose."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from kfunctest import proc
from kfunctest.errors import InfraError
from kfunctest.setup import needs, run_installer, system
from kfunctest.setup.needs import DISTRIBUTIONS, NEEDS, Need

CHECKOUT = Path(__file__).resolve().parents[1]


def program(folder: Path, name: str, script: str) -> Path:
    """A program of a made-up machine."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


# -- what is missing ----------------------------------------------------------


def test_tools_off_the_path_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(proc, "find", lambda name: None)
    names = {need.what for need in needs.missing()}
    assert {"qemu-system-x86_64", "clang", "file", "modprobe", "a static busybox"} <= names


def test_a_tool_on_the_path_is_present(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    present = needs.tool("frobnicator")
    assert not present()
    program(tmp_path, "frobnicator", "true")
    assert present()


@pytest.mark.parametrize("need", NEEDS, ids=lambda need: need.what)
def test_every_need_has_a_package_everywhere(need: Need) -> None:
    assert len(need.packages) == len(DISTRIBUTIONS)
    for package in need.packages:
        assert package
        assert " " not in package


def test_a_busybox_that_needs_libraries_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proc, "find", lambda name: Path(sys.executable) if name == "busybox" else None)
    assert not needs.busybox_is_static()
    elf = bytearray(64 + 56)
    elf[:5] = b"\x7fELF\x02"
    elf[32] = 64  # e_phoff
    elf[54], elf[56] = 56, 1  # e_phentsize, e_phnum
    elf[64] = 1  # PT_LOAD
    (tmp_path / "busybox").write_bytes(elf)
    monkeypatch.setattr(proc, "find", lambda name: tmp_path / "busybox" if name == "busybox" else None)
    assert needs.busybox_is_static()


def test_sudo_that_wants_a_password_is_no_way_without_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sudo = program(tmp_path, "sudo", "exit 1")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(proc, "find", lambda name: sudo)
    monkeypatch.setattr(sys, "stdin", None)
    assert system.root_prefix() is None
    program(tmp_path, "sudo", '[ "$1" = -n ]')
    assert system.root_prefix() == [str(sudo), "-n"]


# -- failures become one line -------------------------------------------------


@pytest.mark.parametrize(
    "output, expected",
    [
        ("Err:1 http://deb.example bookworm InRelease\n  Temporary failure resolving 'deb.example'", "the network"),
        ("E: You don't have enough free space in /var/cache/apt/archives/.", "the disk is full"),
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "the disk is full"),
        (
            "WARNING: Retrying after connection broken by 'NewConnectionError'\nERROR: No matching distribution found",
            "the network",
        ),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", "not the one that"),
        ("ERROR: No matching distribution found for virtme-ng==1.42", "lacks a pinned package"),
        ("working\nE: dpkg was interrupted\nbye", "ended with status 1: E: dpkg was interrupted"),
        ("", r"\(no output\)"),
    ],
)
def test_a_failed_installer_is_explained(output: str, expected: str) -> None:
    error = run_installer.failure(["apt-get", "install"], "ended with status 1", output.splitlines())
    assert "\n" not in str(error)
    with pytest.raises(InfraError, match=expected):
        raise error
    assert "apt-get install" in error.remedy


def test_a_program_that_fails_is_told_with_its_last_words(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InfraError, match=r"ended with status 7: last words; to see it again: sh -c"):
        run_installer.watch("trying", ["sh", "-c", "echo first; echo last words >&2; exit 7"], seconds=20)
    assert capsys.readouterr().err == "setup: trying\n"


def test_a_program_that_hangs_is_ended() -> None:
    with pytest.raises(InfraError, match=r"did not end within 0\.2 s"):
        run_installer.watch("trying", ["sleep", "600"], seconds=0.2)


# -- scripts/setup before there is a Python -----------------------------------


def bare(folder: Path, *tools: str) -> dict[str, str]:
    """The environment of a machine that has these tools of ours and no other."""
    folder.mkdir(exist_ok=True)
    for tool in ("dirname", "id", "tail", "sh", *tools):
        found = proc.find(tool)
        assert found
        (folder / tool).symlink_to(found)
    return {"PATH": str(folder)}


def run_setup(env: dict[str, str]) -> proc.Completed:
    """scripts/setup on that machine."""
    return proc.run(["/bin/sh", CHECKOUT / "scripts" / "setup"], seconds=60, env=env, check=False)


def test_no_python_and_no_apt_is_one_clear_line(tmp_path: Path) -> None:
    done = run_setup(bare(tmp_path / "bin"))
    assert done.status == 3
    assert done.stderr.startswith("setup: Python 3.11 or newer is missing; install python3 and python3-venv")
    assert done.stderr.count("\n") == 1


def test_an_old_python_is_one_clear_line(tmp_path: Path) -> None:
    env = bare(tmp_path / "bin")
    old = program(tmp_path / "bin", "python3", "echo False 3.9.2")
    done = run_setup(env)
    assert done.status == 3
    assert done.stderr.startswith(f"setup: Python 3.9.2 is too old ({old}); Python 3.11 or newer is needed")
    assert done.stderr.count("\n") == 1


def test_a_newer_python_beside_an_old_one_is_taken(tmp_path: Path) -> None:
    env = bare(tmp_path / "bin")
    program(tmp_path / "bin", "python3", "exit 1")
    program(tmp_path / "bin", "python3.12", '[ "$2" = -c ] && echo True 3.12.1 || echo "3.12 ran: $*"')
    assert run_setup(env).stdout.splitlines()[-1] == "3.12 ran: -I kfunctest/setup/start.py"


def test_a_python_that_does_not_run_is_told_by_what_it_says(tmp_path: Path) -> None:
    env = bare(tmp_path / "bin")
    shim = program(
        tmp_path / "bin", "python3", "echo 'shim: version 3.9 is not installed' >&2; echo more >&2; exit 127"
    )
    done = run_setup(env)
    assert done.status == 3
    assert done.stderr.startswith(
        f"setup: {shim} does not run: shim: version 3.9 is not installed; Python 3.11 or newer"
    )


def test_what_a_python_says_besides_is_not_held_against_it(tmp_path: Path) -> None:
    env = bare(tmp_path / "bin")
    program(
        tmp_path / "bin", "python3", "echo 'cannot change locale' >&2; [ \"$2\" = -c ] && echo True 3.12.1 || echo ran"
    )
    assert run_setup(env).stdout == "ran\n"


def test_the_set_up_of_another_command_ends_with_its_status(tmp_path: Path) -> None:
    env = bare(tmp_path / "bin")
    done = proc.run(["/bin/sh", CHECKOUT / "scripts" / "bisect", "step"], seconds=60, env=env, check=False)
    assert done.status == 131, "git bisect run takes 3 for bad"


def test_apt_that_cannot_bring_python_is_one_clear_line(tmp_path: Path) -> None:
    env = bare(tmp_path / "bin")
    program(tmp_path / "bin", "apt-get", "echo noise; echo 'E: no route'; exit 100")
    program(tmp_path / "bin", "sudo", '[ "$1" = -n ] && shift; exec "$@"')
    done = run_setup(env)
    assert done.status == 3
    assert "could not install Python: E: no route; is there a network?" in done.stderr
    assert done.stderr.count("\n") == 2  # what it does, and how that ended
