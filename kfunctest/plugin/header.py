# SPDX-License-Identifier: GPL-2.0-only
"""What a run says of each kernel before its first test: where it came from, and what it is judged by."""

from __future__ import annotations

from collections.abc import Iterator

from kfunctest.contract import Contract
from kfunctest.kernels.model import Kernel


def of_kernel(kernel: Kernel, judged: Contract | None, asked: str | None) -> Iterator[str]:
    """The lines about one kernel. ``asked`` is the contract that the run's own options declare."""
    name = f"{kernel.name}, " if kernel.name else ""
    yield f"kernel: {kernel.release} ({name}{kernel.origin})"
    if made := kernel.provenance:
        for id_, subject in made.patches:
            yield f"patch: {id_} {subject}"
        yield f"flavours: {', '.join(made.flavours) or 'none'}"
    if kernel.config is not None:
        yield f"configuration: {kernel.config_digest}; compiler: {kernel.compiler or 'not known'}"
    yield f"image: {kernel.image}"
    yield f"contract: {judged.name} ({how(kernel, asked)})" if judged else "contract: none, the kfuncs are absent"


def how(kernel: Kernel, asked: str | None) -> str:
    """Why a kernel is judged by its contract. ``asked`` is the contract that the run's own options declare."""
    if asked:
        return "declared"
    return "declared with the kernel" if kernel.contract else "identified by BTF"
