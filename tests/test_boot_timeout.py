# SPDX-License-Identifier: GPL-2.0-only
"""A boot that never comes ends inside its deadline, with the console and a line to repeat it, and leaves nothing."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from kfunctest.errors import InfraError, VmDied
from kfunctest.machine import vm
from kfunctest.machine.accelerator import Accelerator
from kfunctest.machine.console import Console
from tests.fakekernel import NO_IMAGE

#: Seconds for a boot, and for everything around it.
DEADLINE, AROUND = 2.0, 8.0
Boot = Callable[[str], VmDied | InfraError]


@pytest.fixture
def boot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Boot:
    """Boot a VM that is played by a shell script, and return why it did not come up."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(vm, "BOOT_SECONDS", DEADLINE)

    def boot_script(script: str) -> VmDied | InfraError:
        monkeypatch.setattr(vm, "command", lambda *_: ["sh", "-c", script, "sh"])
        started = time.monotonic()
        with pytest.raises((InfraError, VmDied)) as caught:
            vm.boot(NO_IMAGE, Accelerator("kvm", "", 1), Console(tmp_path / "console"), vm.Shape()).__enter__()
        assert time.monotonic() - started < DEADLINE + AROUND
        assert list(temporary.iterdir()) == []
        assert not processes_below(temporary), "a process of the VM lives on"
        assert isinstance(caught.value, VmDied | InfraError)
        return caught.value

    return boot_script


def processes_below(temporary: Path) -> list[str]:
    """The processes that were started with this temporary folder, other than ourselves."""
    wanted = f"TMPDIR={temporary}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (path / "environ").read_bytes() and int(path.name) != os.getpid():
                found.append((path / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


def infra(error: VmDied | InfraError) -> InfraError:
    assert isinstance(error, InfraError), error
    return error


def test_a_vm_that_says_nothing_on_its_channel(boot: Boot) -> None:
    error = infra(boot("echo 'Kernel panic - not syncing' >&2; sleep 988 & setsid sleep 988 & exec sleep 988"))
    assert error.problem == "the VM did not boot within 2 s"
    assert "Kernel panic - not syncing" in error.evidence
    assert error.remedy.startswith("to see it: sh -c ")
    assert shlex.split(error.remedy)[-2:] == ["--", "true"]
    assert "\n" not in str(error)


def test_a_vm_that_ends_at_once_is_not_waited_for(boot: Boot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vm, "BOOT_SECONDS", 600.0)
    error = infra(boot("echo 'vng: no busybox' >&2; exit 3"))
    assert error.problem == "the VM ended before it had booted"
    assert "vng: no busybox" in error.evidence


def test_a_vm_that_qemu_cannot_make(boot: Boot) -> None:
    """What QEMU says of it is the cause; what it only warns of is not."""
    told = "qemu-system-x86_64: warning: a flag is missing\nqemu-system-x86_64: cannot set up guest memory"
    error = infra(boot(f"printf '{told}\nqemu-system-x86_64: warning: more\n' >&2; exit 1"))
    assert error.problem == "the VM ended before it had booted: QEMU: cannot set up guest memory"


def test_a_vm_whose_channel_opens_and_whose_agent_never_answers(boot: Boot) -> None:
    """Execnet waits for a byte, writes its own source, and then awaits the agent."""
    error = infra(boot("read -r line; printf 1; cat >/dev/null; true"))
    assert error.problem == "the VM did not boot within 2 s"
    assert "the console is empty" in error.evidence


def test_a_vm_that_answers_rubbish(boot: Boot) -> None:
    assert "the VM" in infra(boot("yes | head -c 100000; exec cat >/dev/null")).problem


def test_no_space_for_the_run(boot: Boot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    error = infra(boot("exec cat"))
    assert "cannot be written" in error.problem
    assert "TMPDIR" in error.remedy


def test_a_kernel_that_dies_while_it_boots_has_crashed(boot: Boot) -> None:
    error = boot("echo '[    0.9] Kernel panic - not syncing: stack-protector: it is corrupted' >&2; exit 255")
    assert isinstance(error, VmDied)
    assert error.what == "the kernel died while it booted: stack-protector: it is corrupted"


def test_a_kernel_that_oopses_and_never_comes_up_has_crashed(boot: Boot) -> None:
    said = "[    0.9] Oops: Oops: 0002 [#1] SMP NOPTI\n[    0.9] RIP: 0010:mem_cgroup_init+0x1/0x2\n"
    error = boot(f"printf '%s' '{said}' >&2; exec sleep 988")
    assert isinstance(error, VmDied)
    assert "at mem_cgroup_init+0x1/0x2" in error.what


def test_a_kernel_that_is_given_no_root_is_not_to_blame(boot: Boot) -> None:
    said = "Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)"
    error = infra(boot(f"echo '[    0.9] {said}' >&2; exit 255"))
    assert "Unable to mount root fs" in error.problem
    assert "to see it: " in error.remedy


@pytest.mark.parametrize(
    ("option", "factor"),
    [
        ("CONFIG_KASAN", vm.INSTRUMENTED),
        ("CONFIG_PROVE_LOCKING", vm.INSTRUMENTED),
        ("CONFIG_KCSAN", vm.INSTRUMENTED),
        ("CONFIG_DEBUG_KERNEL", 1),
    ],
)
def test_a_kernel_that_checks_itself_has_more_time(option: str, factor: int) -> None:
    kernel = replace(NO_IMAGE, config=((option, "y"), ("CONFIG_MEMCG", "y")))
    assert vm.instrumented(kernel) == factor
    assert vm.instrumented(replace(kernel, config=((option, "n"),))) == 1


def test_a_kernel_whose_configuration_is_unknown_has_the_time_of_any() -> None:
    assert vm.instrumented(replace(NO_IMAGE, config=None)) == 1
