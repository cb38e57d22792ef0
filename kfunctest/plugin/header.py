# SPDX-License-Identifier: GPL-2.0-only
"""What a run says of each kernel before its first test: where it came from, and what it is judged by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from kfunctest.contract import Contract
from kfunctest.kernels.model import Kernel
from kfunctest.results import Untested
from kfunctest.statitems import unknown


def of_kernel(
    kernel: Kernel, judged: Contract | None, asked: str | None, accepted: Sequence[str] = ()
) -> Iterator[str]:
    """The lines about one kernel. ``asked`` is the contract that the run's own options declare."""
    name = f"{kernel.name}, " if kernel.name else ""
    yield f"kernel: {kernel.release} ({name}{kernel.origin})"
    if made := kernel.provenance:
        for id_, subject in made.patches:
            yield f"patch: {id_} {subject}"
        yield f"flavours: {', '.join(made.flavours) or 'none'}"
    if kernel.config is not None:
        yield f"configuration: {kernel.config_digest}; compiler: {kernel.compiler or 'not known'}"
    yield f"image: {kernel.image}{f' -> {kernel.image.readlink()}' if kernel.image.is_symlink() else ''}"
    yield f"contract: {judged.name} ({how(kernel, asked)})" if judged else "contract: none, the kfuncs are absent"
    for one in untested(kernel, accepted):
        yield f"not tested: {one}, which no test covers"


def untested(kernel: Kernel, accepted: Sequence[str]) -> tuple[Untested, ...]:
    """The kernel's kfuncs that no contract knows, and its enumerators that no table knows."""
    found = [(name, "kfunc") for name in sorted(kernel.facts.unknown_kfuncs)]
    found += [(name, enum) for enum, members in kernel.facts.enums for name in unknown(enum, dict(members))]
    return tuple(Untested(name, kind, name in accepted) for name, kind in found)


def how(kernel: Kernel, asked: str | None) -> str:
    """Why a kernel is judged by its contract. ``asked`` is the contract that the run's own options declare."""
    if asked:
        return "declared"
    return "declared with the kernel" if kernel.contract else "identified by BTF"


def not_needed(kernels: Iterable[Kernel], accepted: Sequence[str]) -> Iterator[str]:
    """A line for each accepted name that stands for nothing: mistyped, or known by now."""
    found = {one.name for kernel in kernels for one in untested(kernel, accepted)}
    for name in dict.fromkeys(accepted):
        if name not in found:
            yield f"not needed: --accept-kfunc {name}: no kernel here has an untested kfunc or enumerator of this name"


def accepting(kernel: Kernel) -> list[str]:
    """Words for a pytest that is not to judge the kernel: what no test covers does not matter there."""
    return [f"--accept-kfunc={one.name}" for one in untested(kernel, ())]
