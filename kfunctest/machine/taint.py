# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's taint mask: its bits by name, and which of them are complaints about the kernel itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Taint:
    """One bit: its letter, what it means, and whether a test that sets it has found something."""

    letter: str
    meaning: str
    complaint: bool = False


#: By bit (include/linux/panic.h; Documentation/admin-guide/tainted-kernels.rst). Those that say what was loaded or
#: asked for are no complaints.
TAINTS: Final = (
    Taint("P", "a proprietary module was loaded"),
    Taint("F", "a module was loaded by force"),
    Taint("S", "the CPU is out of its specification"),
    Taint("R", "a module was unloaded by force", complaint=True),
    Taint("M", "a machine check was reported", complaint=True),
    Taint("B", "a bad page was met", complaint=True),
    Taint("U", "userspace asked for it"),
    Taint("D", "the kernel died: an oops or a BUG", complaint=True),
    Taint("A", "an ACPI table was overridden"),
    Taint("W", "the kernel warned", complaint=True),
    Taint("C", "a staging driver was loaded"),
    Taint("I", "a firmware bug is worked around"),
    Taint("O", "a module from outside the tree was loaded"),
    Taint("E", "an unsigned module was loaded"),
    Taint("L", "a soft lockup happened", complaint=True),
    Taint("K", "the kernel was live-patched"),
    Taint("X", "auxiliary, defined by the distribution"),
    Taint("T", "built with randomised structures"),
    Taint("N", "an in-kernel test was run"),
    Taint("J", "userspace changed a device's firmware configuration"),
)


def complaints(before: int, after: int) -> tuple[Taint, ...]:
    """The complaints among the bits that are set in ``after`` and were not in ``before``."""
    new = after & ~before
    known = tuple(taint for bit, taint in enumerate(TAINTS) if new >> bit & 1 and taint.complaint)
    unknown = new >> len(TAINTS) << len(TAINTS)
    return (*known, Taint(hex(unknown), "a bit that is not known", complaint=True)) if unknown else known
