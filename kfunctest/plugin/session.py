# SPDX-License-Identifier: GPL-2.0-only
"""What one pytest run shares: its kernels, the accelerator, and the VM that runs now."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TypeVar

import pytest

from kfunctest import bpfbuild, contract
from kfunctest.errors import KfunctestError, SpecError, VmDied
from kfunctest.guest import background
from kfunctest.kernels import spec
from kfunctest.kernels.model import Kernel
from kfunctest.machine import accelerator, host_checks, vng_paths
from kfunctest.machine.console import Console
from kfunctest.machine.kfuncs import Kfuncs
from kfunctest.machine.vm import Shape, Vm, boot
from kfunctest.plugin import boot_progress, header, options, targets
from kfunctest.plugin.boot_failures import Boots
from kfunctest.plugin.stop import Stop, none_of_the_kfuncs, stop
from kfunctest.plugin.verifier_verdicts import Verdicts

T = TypeVar("T")

BPF_SOURCES = Path(__file__).resolve().parents[2] / "selftests" / "bpf"
#: The flavour whose kernels survive an oops, so that the test that caused it is judged by it, and the argument that
#: they are not given for that.
DEBUG, SURVIVES_OOPS = "debug", ("oops=panic",)
#: Folders of earlier runs that are kept below results/.
KEPT_RUNS = 5


class Session:
    """One run. Kernels are resolved at the first question about them; one VM runs at a time."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._header: list[str] = []
        #: Why tests cannot be collected, by their functions.
        self.not_collected: dict[object, Stop] = {}
        #: Why nothing need be collected.
        self.impossible: Stop | None = None
        self._kernels: list[Kernel] | None = None
        self._no_kernels: Stop | None = None
        self._running: Vm | None = None
        self._shape: Shape | None = None
        self._kfuncs: Kfuncs | None = None
        self._verdicts: Verdicts | None = None
        self._booted = 0
        self._boots = Boots()
        self._blamed: VmDied | None = None
        #: The name of the last VM's console in the folder of this run; empty before the first.
        self.console = ""
        #: Where the console of the VM that runs was when the test began, in bytes.
        self.console_at = 0
        #: Called with a VM that answers before another one takes its place.
        self.before_end: Callable[[Vm], None] = lambda _vm: None
        #: What a machine that was used could not be rid of again.
        self.left_behind: list[KfunctestError] = []
        self._owned = ExitStack()

    @property
    def kernels(self) -> list[Kernel]:
        """The kernels asked for, without repetitions. Ends the run, with its status, when one cannot be had."""
        if self._no_kernels:  # asked for by every test function; looking again would take as long, and say the same
            raise self._no_kernels
        if self._kernels is None:
            try:
                self._kernels = self._or_exit(self._resolve)
            except Stop as why:
                self._no_kernels = why
                raise
        return self._kernels

    @property
    def resolved(self) -> list[Kernel]:
        """The kernels asked for as far as they were looked up; never the cause of a look-up."""
        return self._kernels or []

    @property
    def asked_for_several(self) -> bool:
        """Whether more than one kernel was named; two names may yet mean the same one."""
        return len(self._config.getoption("kernel") or ()) > 1

    def reach(self) -> None:
        """Reach the machine that is named, if one is, before anything is collected; a failure is kept for later."""
        try:
            if self._living:
                self.kernels  # noqa: B018 (looked up now)
        except Stop as stop:
            self.impossible = stop

    def prepare(self) -> None:
        """Look at the machine, fetch the kernels, and make the header. Ends the run where nothing can be judged."""
        self._or_exit(self._living.check if self._living else host_checks.check)
        for kernel in [] if self._living else self.kernels:
            self._or_exit(partial(vng_paths.check_files, kernel))
        absent = self._without_kfuncs()
        if len(absent) == len(self.kernels):
            raise none_of_the_kfuncs([kernel.release for kernel in absent])
        self._header = self._make_header()

    def prepare_for_workers(self) -> None:
        """What prepare() does, in a controller of pytest-xdist; should the run end there, that is kept for later."""
        try:
            self.prepare()
        except Stop as stop:
            self.impossible = stop
        if reporter := self._config.pluginmanager.getplugin("terminalreporter"):
            for line in self._header:
                reporter.write_line(line)

    def some_without_kfuncs(self) -> list[str]:
        """The releases of kernels without the kfuncs that were among those to judge."""
        return [kernel.release for kernel in self._without_kfuncs()] if self._header else []

    def _without_kfuncs(self) -> list[Kernel]:
        return [kernel for kernel in self.kernels if self.contract(kernel) is None]

    @property
    def _living(self) -> targets.OnMachine | None:
        return self._or_exit(lambda: targets.living(self._config))

    def _resolve(self) -> list[Kernel]:
        if living := self._living:
            return [living.kernel()]
        found: dict[tuple[str, str | None], Kernel] = {}
        capture = self._config.pluginmanager.getplugin("capturemanager")
        # A first run downloads 100 MB and more: its progress must be seen, which pytest captures while it collects.
        with capture.global_and_fixture_disabled() if capture else nullcontext():
            mirror, base = self._config.getoption("debian_mirror"), options.base(self._config)
            for text in self._config.getoption("kernel") or [spec.DEFAULT]:
                kernel = spec.resolve(text, mirror=mirror, base=base)
                found.setdefault((kernel.image_digest, kernel.contract), kernel)
        return list(found.values())

    @cached_property
    def accelerator(self) -> accelerator.Accelerator:
        """What this run's VMs are accelerated by."""
        if living := self._living:
            return living.accelerator
        forced = self._config.getoption("accel")
        return accelerator.choose(None if forced == "auto" else forced)

    def contract(self, kernel: Kernel) -> contract.Contract | None:
        """The declared contract, else the one that the kernel's BTF names; None when the kfuncs are absent."""
        declared = self._config.getoption("contract") or kernel.contract
        named = self._or_exit(lambda: contract.by_name(declared)) if declared else None
        return named if named and kernel.facts.kfuncs else contract.identify(kernel.facts.kfuncs)

    def vm(
        self, kernel: Kernel, *, append: Sequence[str] = (), without: Sequence[str] = (), memory: str | None = None
    ) -> Vm:
        """The VM of this kernel, told so: the one that runs, or one booted now where none does or the last is no good.

        ``append`` are kernel arguments beyond those of every VM, ``without`` names those of them that it does not get;
        ``memory`` is its size where that is not the one of ``--memory``, as that is written.
        Raises VmDied when the kernel dies while it boots, InfraError when the VM does not come up for another reason.
        """
        survives = SURVIVES_OOPS if kernel.provenance and DEBUG in kernel.provenance.flavours else ()
        shape = Shape(cpus=self._config.getoption("cpus"), memory=memory or self._config.getoption("memory"))
        usual = tuple(argument for argument in shape.append if argument not in (*without, *survives))
        shape = replace(shape, append=(*usual, *append))
        good = self._running and not self._running.lost and not self._running.spent
        if not good or self._running is None or self._running.kernel is not kernel or self._shape != shape:
            if self._running and not self._running.lost:
                self.before_end(self._running)
            self.close()
            self.console_at = 0
            with self._boots.attempt(kernel, shape):
                self._running = self._boot(kernel, shape)
            self._shape = shape
        return self._running

    @property
    def running(self) -> Vm | None:
        """The VM that runs, lost or not."""
        return self._running

    def test_begins(self) -> None:
        """Note where the console is."""
        self.console_at = self._running.console.size() if self._running else 0

    def newly_lost(self) -> VmDied | None:
        """Why the VM was lost, once: the first test that is asked about afterwards is the one that lost it."""
        lost = self._running.lost if self._running else None
        if lost is None or lost is self._blamed:
            return None
        self._blamed = lost
        return lost

    def kfuncs(self, machine: Vm) -> Kfuncs:
        """The kfuncs of the VM that runs, loaded once a boot."""
        if self._kfuncs is None:
            self._kfuncs = Kfuncs(machine, self.compiled("kfuncs.bpf.c"))
        return self._kfuncs

    def verdicts(self, machine: Vm) -> Verdicts:
        """What the verifier of the VM that runs says of programs; each is asked for once a boot."""
        if self._verdicts is None:
            self._verdicts = Verdicts(machine, self.compiled)
        return self._verdicts

    def compiled(self, source: str) -> Path:
        """The object of ``selftests/bpf/<source>``."""
        return self._or_exit(lambda: bpfbuild.build(BPF_SOURCES / source))

    def close(self) -> None:
        """End the VM that runs, if one does."""
        self._running = self._kfuncs = self._verdicts = None
        self._owned.close()

    def _boot(self, kernel: Kernel, shape: Shape) -> Vm:
        self._booted += 1
        worker = getattr(self._config, "workerinput", {}).get("workerid", "")
        name = "-".join(filter(None, ("console", kernel.id, worker, str(self._booted))))
        console = Console(self.results / f"{name}.log")
        self.console = console.path.name
        try:
            if living := self._living:
                return self._owned.enter_context(living.open(kernel, console, self.left_behind.append))
            with boot_progress.booting(self._config, kernel.release):
                booted = self._owned.enter_context(boot(kernel, self.accelerator, console, shape))
            if self._config.getoption("frantic"):
                booted.call(background.make_frantic)
            return booted
        except SpecError as error:  # another kernel than was asked for: no test of it means anything
            stop(error)

    @cached_property
    def run_name(self) -> str:
        """The name of this run's folder below results/; the workers of pytest-xdist get it from their controller."""
        given: dict[str, str] = getattr(self._config, "workerinput", {})
        return given.get("kfunctest_run") or f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"

    @cached_property
    def results(self) -> Path:
        """The folder of this run's consoles: a new one each run; of those of runs that ended KEPT_RUNS - 1 are kept."""
        root = options.results(self._config)
        run = root / self.run_name
        options.make(run, root)
        runs = sorted(path for path in root.iterdir() if re.fullmatch(r"\d{8}-\d{6}-\d+", path.name))
        ended = [path for path in runs if path != run and not Path("/proc", path.name.rpartition("-")[2]).exists()]
        for old in ended[: 1 - KEPT_RUNS]:
            shutil.rmtree(old, ignore_errors=True)
        return run

    def header(self) -> list[str]:
        """Lines that say what is judged and how; none when no test asked for a kernel."""
        return self._header

    def footer(self) -> list[str]:
        """What a reader of a long log looks for at its end; none when no test asked for a kernel."""
        if not self._header:
            return []
        judged = [(kernel, found) for kernel in self.kernels if (found := self.contract(kernel))]
        how = self.accelerator.name
        lines = [f"kernel: {kernel.release}, contract {found.name}, {how}" for kernel, found in judged]
        run = options.results(self._config) / self.run_name
        return [*lines, f"consoles: {run}"] if run.is_dir() else lines

    def _make_header(self) -> list[str]:
        lines: list[str] = []
        declared, accepted = self._config.getoption("contract"), self._config.getoption("accept_kfunc")
        for kernel in self.kernels:
            lines += header.of_kernel(kernel, self.contract(kernel), declared, accepted)
        lines += header.not_needed(self.kernels, accepted)
        lines.append(f"accelerator: {self.accelerator.name} ({self.accelerator.why})")
        lines.append(f"versions: {self._or_exit(self.versions)}")
        return lines

    def versions(self) -> str:
        """What matters beside the kernel, in one line. Raises InfraError."""
        return self._living.versions if self._living else host_checks.versions()

    def _or_exit(self, work: Callable[[], T]) -> T:
        """``work()``, or the end of the whole run in one line with the error's documented status."""
        try:
            return work()
        except KfunctestError as error:
            stop(error)
