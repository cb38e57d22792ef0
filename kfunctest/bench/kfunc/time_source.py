# SPDX-License-Identifier: GPL-2.0-only
"""What a pass is measured by: time, or where a machine is emulated the instructions that its guest executes.

Emulated code takes time by how well it translates, and by what else the host does. QEMU can instead let the guest's
clock follow the guest's instructions (-icount): that is the same whatever the host does, and stands still while others
have the CPU. It knows nothing of caches or of what an instruction costs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kfunctest.machine import accelerator
from kfunctest.machine.accelerator import Accelerator
from kfunctest.machine.vm import HASTE, Shape

#: The guest's clock moves by 2 ** this nanoseconds an instruction. With 0 a kernel did not come up (QEMU 7.2).
SHIFT: Final = 1


@dataclass(frozen=True, slots=True)
class Clock:
    """``unit`` is what figures are told in, ``per_second`` how many of them are a second of the guest's clock.

    ``seconds`` is how long a run should be by that clock, unless it is said.
    """

    name: str
    unit: str
    per_second: float
    seconds: float
    #: The machine to measure on. All vCPUs share one thread where instructions are counted: a second one is no help.
    shape: Shape


#: Grace periods as the kernel has them: what frees an iterator's leavings early would run beside the side that follows.
_AS_IT_IS: Final = tuple(argument for argument in Shape().append if argument not in HASTE)
TIME: Final = Clock("time", "microseconds", 1e6, 2.0, Shape(append=_AS_IT_IS))
INSTRUCTIONS: Final = Clock(
    "instructions", "thousand instructions", 1e6 / 2**SHIFT, 0.1, Shape(cpus=1, append=_AS_IT_IS)
)
CLOCKS: Final = {clock.name: clock for clock in (TIME, INSTRUCTIONS)}


@dataclass(frozen=True, slots=True)
class Counted(Accelerator):
    """TCG with its clock bound to the guest's instructions."""

    @property
    def vng_flags(self) -> tuple[str, ...]:
        """See :attr:`kfunctest.machine.accelerator.Accelerator.vng_flags`."""
        return ("--disable-kvm", f"--qemu-opts=-accel {accelerator.ONE_THREAD} -icount shift={SHIFT}")


def counted(accel: Accelerator) -> Counted:
    """The accelerator with INSTRUCTIONS for a clock; counting slows it by some three times, deadlines with it."""
    return Counted(accel.name, f"{accel.why}; its clock counts instructions", 3 * accel.slowdown)
