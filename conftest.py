# SPDX-License-Identifier: GPL-2.0-only
"""The fixtures that a test author uses. ``pytest --fixtures`` prints this file as a manual."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kfunctest import statitems
from kfunctest.contract import Contract
from kfunctest.kernels.model import Kernel
from kfunctest.machine.bpf import Bpf, Verdict
from kfunctest.machine.kfuncs import Call, Kfuncs
from kfunctest.machine.memcg import Memcg
from kfunctest.machine.vm import Vm
from kfunctest.plugin import SESSION
from kfunctest.plugin.applicable import needs
from kfunctest.plugin.verifier_verdicts import Verdicts, source_of
from kfunctest.verifier_annotations import Expectation

pytest_plugins = ["kfunctest.plugin.hooks"]


@pytest.fixture(scope="session")
def kernel(request: pytest.FixtureRequest) -> Kernel:
    """The kernel under judgement: release, image, configuration (``kernel.option("CONFIG_ZSWAP")``) and BTF facts.

    One for each ``--kernel``; with several, every test runs on each of them.
    """
    judged: Kernel = getattr(request, "param", None) or request.config.stash[SESSION].kernels[0]
    return judged


@pytest.fixture(scope="session")
def contract(request: pytest.FixtureRequest, kernel: Kernel) -> Contract:
    """What the kernel is judged by: identified from its BTF or declared with ``--contract``, never by its behaviour."""
    found = request.config.stash[SESSION].contract(kernel)
    if found is None:
        pytest.fail(f"{kernel.release} has none of the memcg BPF kfuncs", pytrace=False)
    return found


@pytest.fixture
def vm(request: pytest.FixtureRequest, kernel: Kernel, contract: Contract) -> Vm:
    """The kernel, running in a VM with an agent: ``vm.call(guest_function, ...)``, ``vm.cpus``, ``vm.console``.

    Booted once for all tests, and anew after a test that lost it. A test marked
    ``boot(append=..., without=..., memory=...)`` gets one that is told so, or has so much.
    """
    marker = request.node.get_closest_marker("boot")
    machine: Vm = request.config.stash[SESSION].vm(kernel, **(marker.kwargs if marker else {}))
    return machine


@pytest.fixture
def memcg(request: pytest.FixtureRequest, vm: Vm) -> Iterator[Memcg]:
    """A fresh memcg below the root, with workloads (``charge_anon``, ``fault``, ``oom``, ...) and its files.

    Removed at the end with its children; that it cannot be removed is an error of the test.
    """
    with Memcg(vm, vm.prefix + re.sub(r"\W+", "-", request.node.name)) as group:
        yield group


@pytest.fixture
def kfuncs(request: pytest.FixtureRequest, vm: Vm) -> Kfuncs:
    """Every kfunc as a call: ``kfuncs.usage(memcg)``, ``kfuncs.page_state(memcg, items.NR_ANON_MAPPED)``, ...

    None instead of a memcg means the root memcg. All calls go through one BPF program, which sleeps, so
    flushing is allowed; ``kfuncs.batch(memcg, calls)`` makes several in one run of it.
    """
    calls: Kfuncs = request.config.stash[SESSION].kfuncs(vm)
    return calls


@pytest.fixture
def bpf(request: pytest.FixtureRequest, vm: Vm) -> Iterator[Bpf]:
    """Any program of ``selftests/bpf``: ``bpf.open("iter.bpf.c").load("dump")``, attach, run, read its globals.

    All is unloaded at the end. What the verifier must refuse goes through the ``verdict`` fixture.
    """
    with Bpf(vm, request.config.stash[SESSION].compiled) as loader:
        yield loader


@pytest.fixture
def verdict(request: pytest.FixtureRequest, kernel: Kernel, vm: Vm, program: str, expectation: Expectation) -> Verdict:
    """The verifier's verdict on ``program``, of a test marked ``bpf_programs("source.bpf.c")``.

    All programs of the file are judged at once, the first time one of them is asked for in a VM. Not applicable where
    the kernel lacks what the program attaches to, a tracepoint or a hook, or a kfunc that its ``__needs_kfunc`` names;
    a missing memcg kfunc is a refusal like any other.
    """
    missing = [name for name in expectation.kfuncs if name not in kernel.facts.bpf_functions]
    needs(not missing, f"this kernel lacks the kfunc {', '.join(missing)}")
    found = request.config.stash[SESSION].verdicts(vm).verdict(source_of(request.node), program)
    needs(not found.lacks_target, found.log)
    return found


@pytest.fixture
def verdicts(request: pytest.FixtureRequest, vm: Vm) -> Verdicts:
    """What the verifier of the running kernel says: its ``generation``, and which type of program may call what."""
    asked: Verdicts = request.config.stash[SESSION].verdicts(vm)
    return asked


@pytest.fixture
def expectation(request: pytest.FixtureRequest, vm: Vm, program: str) -> Expectation:
    """What the annotations of ``program`` expect of a verifier of the kernel's generation."""
    wanted: Expectation = request.config.stash[SESSION].verdicts(vm).expectation(source_of(request.node), program)
    return wanted


@pytest.fixture
def consoles(request: pytest.FixtureRequest) -> Path:
    """The folder of this run where its consoles are kept, for a test that leaves evidence beside them."""
    folder: Path = request.config.stash[SESSION].results
    return folder


#: Which call of kfuncs.bpf.c takes the members of an enum.
READ_BY = {
    "node_stat_item": "PAGE_STATE",
    "memcg_stat_item": "PAGE_STATE",
    "vm_event_item": "VM_EVENTS",
    "memcg_memory_event": "MEMORY_EVENTS",
}


class NotInBtf(AttributeError, AssertionError):
    """A finding about the kernel, whether one runs yet or not."""


@dataclass(frozen=True)
class Items:
    """Enumerators of the running kernel: ``items.NR_ANON_MAPPED``, ``items.enum("vm_event_item")``."""

    kernel: Kernel

    def __getattr__(self, name: str) -> int:
        for enum, _ in self.kernel.facts.enums:
            if name in (members := self.kernel.facts.enum(enum)):
                return members[name]
        raise NotInBtf(f"{self.kernel.release} has no {name} in its BTF")

    def enum(self, name: str) -> dict[str, int]:
        """The members of ``enum name``, by name."""
        return self.kernel.facts.enum(name)

    def unknown(self, *enums: str) -> dict[str, int]:
        """The members of these enums that no table knows: the run reports them, and no test may fail for them."""
        return {name: self.enum(enum)[name] for enum in enums for name in statitems.unknown(enum, self.enum(enum))}

    def call(self, name: str) -> Call:
        """The call that reads an item, by the enum that holds its name: some moved from one to another."""
        for enum, operation in READ_BY.items():
            if name in (members := self.enum(enum)):
                return Call(operation, members[name])
        raise NotInBtf(f"{self.kernel.release} has no {name} in its BTF")


@pytest.fixture(scope="session")
def items(kernel: Kernel) -> Items:
    """Indexes and bounds from the kernel's own BTF, never from a header: ``items.MEMCG_NR_STAT``, ``items.PGFAULT``."""
    return Items(kernel)
