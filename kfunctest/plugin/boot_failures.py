# SPDX-License-Identifier: GPL-2.0-only
"""Boots that failed: one tells of the test that needed it, two in a row of all that would need the next."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kfunctest.errors import InfraError, VmDied
from kfunctest.kernels.model import Kernel
from kfunctest.machine.vm import Shape

#: After how many failed boots in a row no further one is tried.
ENOUGH = 2


class Boots:
    """What became of the boots of each kernel, in each shape."""

    def __init__(self) -> None:
        self._failed: dict[tuple[str, Shape], list[VmDied | InfraError]] = {}

    @contextmanager
    def attempt(self, kernel: Kernel, shape: Shape) -> Iterator[None]:
        """Around one boot. Raises what the last one raised, and boots nothing, where enough in a row have failed."""
        failed = self._failed.setdefault((f"{kernel.image} {kernel.image_digest}", shape), [])
        if len(failed) >= ENOUGH:
            raise _not_tried(failed[-1])
        try:
            yield
        except (VmDied, InfraError) as error:
            failed.append(error)
            raise
        failed.clear()


def _not_tried(last: VmDied | InfraError) -> VmDied | InfraError:
    before = f"not tried: {ENOUGH} boots in a row had failed; the last: "
    error: VmDied | InfraError
    if isinstance(last, VmDied):
        error = type(last)(f"{before}{last.what}", last.console, booting=last.booting)
        error.untried = last.what
    else:
        error = InfraError(f"{before}{last.problem}", remedy=last.remedy)
        error.untried = str(last)
    return error
