# SPDX-License-Identifier: GPL-2.0-only
"""Where kernels are judged: in VMs of ours, or on a machine that runs one and goes on living (``--target``)."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import pytest

from kfunctest.errors import KfunctestError, SpecError
from kfunctest.kernels.model import Kernel
from kfunctest.kernels.running import SPEC
from kfunctest.machine.console import Console
from kfunctest.machine.vm import Vm
from kfunctest.plugin.applicable import needs

#: Where the machine of a run is kept.
_LIVING: pytest.StashKey[OnMachine | None] = pytest.StashKey()
#: Markers of tests that could take a machine down, or that change it for others.
DESTRUCTIVE = ("boot", "expect_splat", "destructive")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare where to judge, and how much a machine that goes on living may suffer."""
    group = parser.getgroup("kfunctest")
    group.addoption(
        "--target",
        type=_target,
        default="vm",
        metavar="vm|local|ssh:HOST",
        help="judge in VMs (default), or the kernel that this machine or another one runs",
    )
    group.addoption(
        "--allow-destructive",
        action="store_true",
        help="with --target local or ssh: run the tests, too, that may crash or dirty the machine",
    )


def _target(text: str) -> str:
    if text in ("vm", "local") or text.startswith("ssh:"):
        return text
    raise argparse.ArgumentTypeError(f"{text!r} is none of vm, local and ssh:HOST")


def pytest_configure(config: pytest.Config) -> None:
    """Name the marker."""
    config.addinivalue_line(
        "markers", "destructive(why): could crash or change a machine that goes on living; see --allow-destructive"
    )


def of(config: pytest.Config) -> str:
    """The target of this run: ``vm``, ``local`` or ``ssh:HOST``. ``--kernel running`` alone means this machine.

    Raises SpecError where a kernel is named that another place would have to boot.
    """
    target: str = config.getoption("target")
    asked: Sequence[str] = config.getoption("kernel") or ()
    if target == "vm" and SPEC in asked:
        target = "local"
    if target != "vm" and (others := [spec for spec in asked if spec != SPEC]):
        raise SpecError(
            f"--target {target} judges the kernel that runs there, and boots no {others[0]}",
            remedy=f"leave out --kernel {others[0]}, or --target",
        )
    return target


class OnMachine:
    """The machine that ``local`` or ``ssh:HOST`` means. Raises SpecError and InfraError for one that none can be."""

    def __init__(self, target: str) -> None:
        from kfunctest.machine import live_machine, local, ssh

        self._place = local.place() if target == "local" else ssh.place(target.partition(":")[2])
        #: What stands for one in the header.
        self.accelerator = live_machine.native(self._place)
        #: The words that its kernel was booted with, once it was asked for its kernel.
        self.cmdline: tuple[str, ...] = ()
        #: The versions that matter there, in one line.
        self.versions = ""

    def check(self) -> None:
        """Raise InfraError where we lack something to judge with."""
        from kfunctest import proc

        proc.need("clang")

    def kernel(self) -> Kernel:
        """The kernel that runs there. Raises InfraError where it cannot be reached, SpecError where not judged."""
        from kfunctest.kernels import running
        from kfunctest.machine import live_machine

        found = live_machine.surveyed(self._place)
        self.cmdline = tuple(str(found["cmdline"]).split())
        self.versions = f"Python {found['python']}, libbpf {found['libbpf']} on {found['name']}"
        return running.kernel(found, self._place.name)

    def open(self, kernel: Kernel, log: Console, say: Callable[[KfunctestError], None]) -> AbstractContextManager[Vm]:
        """The machine with an agent on it; ``log`` gets what ssh, sudo and the interpreter there have to say."""
        from kfunctest.machine import live_machine

        return live_machine.opened(kernel, self._place, log, say)


@pytest.hookimpl(trylast=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Spare a machine that goes on living what could crash or dirty it, and say what only a VM can do."""
    if not item.get_closest_marker("kfunc") or (place := living(item.config)) is None:
        return
    for name in DESTRUCTIVE:
        if marker := item.get_closest_marker(name):
            spare(item, str(next(iter(marker.args), name)))
    if boot := item.get_closest_marker("boot"):
        lacks = [word for word in boot.kwargs.get("append", ()) if word not in place.cmdline]
        extra = [word for word in boot.kwargs.get("without", ()) if word in place.cmdline]
        needs(not lacks, f"this machine was booted without {' '.join(lacks)}")
        needs(not extra, f"this machine was booted with {' '.join(extra)}")
        needs("memory" not in boot.kwargs, f"is for a VM of {boot.kwargs.get('memory')}")


def spare(item: pytest.Item, why: str) -> None:
    """Go on where the kernel is ours alone, or the machine may suffer; else report the test as not applicable."""
    spared = living(item.config) and not item.config.getoption("allow_destructive")
    needs(not spared, f"could crash or dirty this machine ({why}): --allow-destructive runs it")


def living(config: pytest.Config) -> OnMachine | None:
    """Where this run judges, or None where it boots VMs. Raises SpecError and InfraError."""
    if _LIVING not in config.stash:
        target = of(config)
        config.stash[_LIVING] = None if target == "vm" else OnMachine(target)
    return config.stash[_LIVING]
