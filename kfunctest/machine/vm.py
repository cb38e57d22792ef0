# SPDX-License-Identifier: GPL-2.0-only
"""A VM booted by virtme-ng, with an agent in it.

Ownership: :func:`boot` makes the run's folder and the supervisor (``vm_supervisor.py``); the supervisor owns every
process of the VM and removes the folder at the end, even when we are killed.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ParamSpec, TypeVar

from kfunctest import cache, proc
from kfunctest.errors import InfraError, SpecError, VmDied
from kfunctest.kernels.model import Kernel
from kfunctest.machine import death, host_checks, supervisor, vng_paths
from kfunctest.machine.accelerator import Accelerator
from kfunctest.machine.bundle import agent_script, boot_path
from kfunctest.machine.channel import ChannelEnded, ChannelSilent, Requests
from kfunctest.machine.console import Console
from kfunctest.machine.monitor import Monitor, listening
from kfunctest.machine.post_mortem import FromAfar, OfVm, PostMortem

P = ParamSpec("P")
R = TypeVar("R")

#: Seconds with KVM; an accelerator's ``slowdown`` multiplies them.
BOOT_SECONDS = 20.0
REQUEST_SECONDS = 6.0

#: By how much checks in a kernel stretch deadlines: under TCG 7.2-debug comes to its first verdict in eleven times, and
#: 6.12-debug in seven times, what 7.2-slim needs.
INSTRUMENTED = 10


#: Every test ends with RCU grace periods. They begin by asking idle CPUs, as ours are most of the time, instead of
#: after a tick, and end for who waits when their callbacks have run (kfunctest/guest/removal.py).
HASTE = ("rcutree.jiffies_till_first_fqs=0", "rcutree.rcu_normal_wake_from_gp=0")


@dataclass(frozen=True, slots=True)
class Shape:
    """The size of a VM and what its kernel is told. ``memory`` as virtme-ng takes it; ``append``: kernel arguments."""

    cpus: int = 2
    memory: str = "1G"
    append: tuple[str, ...] = (
        # Only a panic ends a VM: make every deadly state one.
        "oops=panic",
        "softlockup_panic=1",
        "hung_task_panic=1",
        # KASAN reports once a boot unless told otherwise; the test that comes second must not pass for that.
        "kasan_multi_shot",
        "log_buf_len=4M",
        "no5lvl",
        # On a host with much else to do the boot's look for a timer comes too early for QEMU's, and panics: "IO-APIC +
        # timer doesn't work". Kernels trust the timer of KVM's, Hyper-V's and VMware's machines likewise.
        "no_timer_check",
        # A hang: what the kernel is asked by its console, and by an NMI where that does not answer (stacks.py).
        "sysrq_always_enabled",
        "unknown_nmi_panic",
        *HASTE,
    )


class Vm:
    """A booted kernel: a :class:`kfunctest.machine.interface.Target` with a console."""

    #: See :attr:`kfunctest.machine.interface.Target.prefix`.
    prefix = ""

    def __init__(
        self,
        kernel: Kernel,
        accelerator: Accelerator,
        requests: Requests,
        console: Console,
        post_mortem: PostMortem | None = None,
    ) -> None:
        self.kernel = kernel
        self.accelerator = accelerator
        self.console = console
        self.lost: VmDied | None = None
        #: Why no other test may use this VM, though it answers; None while it is good.
        self.spent: str | None = None
        #: How many requests the agent was sent.
        self.asked = 0
        self._requests = requests
        self._post_mortem = post_mortem or FromAfar(console)
        hello = requests.hello(BOOT_SECONDS * accelerator.slowdown)
        self.release = str(hello["release"])
        self.cpus = int(str(hello["cpus"]))
        self.page_size = int(str(hello["page_size"]))
        #: Bytes of memory that the kernel manages: less than the VM's size.
        self.memory = int(str(hello["memory"]))
        self.btf_size = int(str(hello["btf_size"]))
        self.build_id = str(hello["build_id"])

    def file(self, path: Path) -> str:
        """See :meth:`kfunctest.machine.interface.Target.file`: the guest has the host's files."""
        return str(path)

    def stretched(self, seconds: float) -> float:
        """See :meth:`kfunctest.machine.interface.Target.stretched`."""
        return seconds * self.accelerator.slowdown

    def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """See :meth:`kfunctest.machine.interface.Target.call`."""
        return self.call_within(REQUEST_SECONDS, function, *args, **kwargs)

    def call_within(self, seconds: float, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """See :meth:`kfunctest.machine.interface.Target.call_within`."""
        if self.lost:
            raise self.lost
        start = self.console.size()
        self.asked += 1
        try:
            return self._requests.call(self.stretched(seconds), function, *args, **kwargs)
        except ChannelEnded as ended:
            self.lost = self._post_mortem.gone(function.__qualname__, start, str(ended))
        except ChannelSilent as silent:
            self.lost = self._post_mortem.silent(function.__qualname__, start, str(silent))
        raise self.lost


def command(image: Path, accelerator: Accelerator, shape: Shape) -> list[str]:
    """The virtme-ng command line that boots ``image``, without the program to run: paste it to look around.

    9p is asked for outright: looking for virtiofsd first costs three seconds where only QEMU's old C one is installed.
    The image's path is quoted since virtme-ng makes a shell command of it.
    """
    proc.need(host_checks.QEMU)
    return [
        *(
            str(host_checks.vng()),
            "--run",
            shlex.quote(str(image)),
            *accelerator.vng_flags,
            "--force-9p",
            "--user",
            "root",
            "--verbose",
        ),
        *("--cpus", str(shape.cpus), "--memory", shape.memory),
        *(word for argument in (*shape.append, boot_path()) for word in ("--append", argument)),
    ]


@contextmanager
def boot(kernel: Kernel, accelerator: Accelerator, console: Console, shape: Shape) -> Iterator[Vm]:
    """Boot ``kernel`` and yield it when its agent has said hello; the VM is gone on leaving.

    Raises InfraError when QEMU or virtme-ng is missing or the VM does not boot within its deadline, VmDied when the
    kernel dies before, SpecError when another kernel booted than was asked for.
    """
    accelerator = replace(accelerator, slowdown=accelerator.slowdown * instrumented(kernel))
    agent = agent_script()
    seconds = BOOT_SECONDS * accelerator.slowdown
    with ExitStack() as stack:
        monitor = stack.enter_context(listening())
        folder = stack.enter_context(supervisor.rundir())
        argv = command(vng_paths.bootable(kernel, folder), accelerator, shape)
        argv += [f"--qemu-opts={monitor.options}", "--", f"sh {folder / supervisor.AGENT}"]
        supervisor.give(folder, argv, console.path, agent)
        watch = supervisor.Watch(folder, seconds)
        try:
            gateway = stack.enter_context(supervisor.gateway(folder))
            requests = Requests(gateway.remote_exec("from kfunctest.guest import agent\nagent.serve(channel)"))
            vm = Vm(kernel, accelerator, requests, console, OfVm(console, monitor, folder, accelerator.slowdown))
        except (OSError, EOFError, ChannelEnded, ChannelSilent):
            late = f"did not boot within {seconds:g} s" if watch.late else "ended before it had booted"
            to_see = shlex.join([*command(kernel.image, accelerator, shape), "--", "true"])
            raise _not_booted(console, monitor, late, to_see) from None
        finally:
            watch.end()
        check_identity(kernel, vm)
        yield vm


def instrumented(kernel: Kernel) -> int:
    """By how much a kernel that looks at each access of memory, or at each lock, stretches deadlines."""
    on = {name for name, value in kernel.config or () if value == "y"}
    return INSTRUMENTED if on & {"CONFIG_KASAN", "CONFIG_KCSAN", "CONFIG_PROVE_LOCKING"} else 1


def _not_booted(console: Console, monitor: Monitor, why: str, to_see: str) -> VmDied | InfraError:
    text = console.text()
    dead = death.panic(text) or death.oops(text)
    if dead and not death.misconfigured(text):
        return VmDied(f"the kernel died while it booted: {dead}", console.tail(), booting=True)
    if monitor.reason == "guest-reset" and not dead:
        what = "the kernel reset the machine while it booted, and said nothing"
        return VmDied(what, console.tail(), booting=True)
    cause = dead or death.qemu(text)
    return InfraError(
        f"the VM {why}{f': {cause}' if cause else ''}{', since QEMU was stopped' if monitor.stopped else ''}",
        remedy=f"to see it: {to_see}",
        evidence=f"the console's last lines ({console.path}):\n{console.tail()}",
    )


def check_identity(kernel: Kernel, vm: Vm) -> None:
    """The facts were read from the image on the host: the kernel that runs must be that one.

    It is not where a build tree was built again meanwhile.
    """
    if not kernel.facts.build_id and cache.digest(kernel.image.read_bytes()) != kernel.image_digest:
        raise SpecError(f"{kernel.image} was changed since this run began", remedy="run it again")
    expected = (kernel.release, kernel.facts.btf_size, kernel.facts.build_id)
    seen = (vm.release, vm.btf_size, vm.build_id if kernel.facts.build_id else "")
    if seen != expected:
        raise SpecError(
            f"{kernel.image} was {_described(*expected)} when it was read, and {_described(*seen)} runs",
            remedy="if it was built again meanwhile, start again",
        )


def _described(release: str, btf_size: int, build_id: str) -> str:
    named = f", build ID {build_id[:12]}" if build_id else ""
    return f"{release} ({btf_size} bytes of BTF{named})"
