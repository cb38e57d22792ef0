# SPDX-License-Identifier: GPL-2.0-only
"""A kernel's configuration: reading it, and what a run cannot do without."""

from __future__ import annotations

import zlib
from typing import Final

from kfunctest.errors import SpecError
from kfunctest.kernels import prune_modules
from kfunctest.kernels.model import Facts
from kfunctest.kernels.prune_modules import Found

Config = tuple[tuple[str, str], ...]

#: What every run needs, with the reason. Each is a bool option of the kernel.
REQUIRED: Final = (
    ("CONFIG_CGROUPS", "the kfuncs are about cgroups"),
    ("CONFIG_MEMCG", "the memory controller is what is judged"),
    ("CONFIG_BPF_SYSCALL", "the kfuncs are called by BPF programs"),
    ("CONFIG_BPF_JIT", "the verifier refuses kfuncs without the JIT"),
    ("CONFIG_DEBUG_INFO_BTF", "kfuncs are found by their BTF"),
)

#: What a VM boots by: virtme-ng with --force-9p (virtiofs is no substitute) on QEMU's PC machine. An option, its
#: module, and a function that is in the kernel's own BTF where that is built in.
BOOTED_BY: Final = (
    ("CONFIG_9P_FS", "9p", "v9fs_session_init"),
    ("CONFIG_NET_9P_VIRTIO", "9pnet_virtio", "p9_virtio_probe"),
    ("CONFIG_VIRTIO_PCI", "virtio_pci", "virtio_pci_probe"),
    ("CONFIG_VIRTIO_CONSOLE", "virtio_console", "virtcons_probe"),
)


def parse(text: str) -> Config:
    """The options set in a ``.config``; strings come without their quotes."""
    options = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals and name.startswith("CONFIG_"):
            quoted = len(value) >= 2 and value[0] == value[-1] == '"'
            options[name] = value[1:-1].replace('\\"', '"').replace("\\\\", "\\") if quoted else value
    return tuple(sorted(options.items()))


def embedded(vmlinux: bytes) -> str | None:
    """The configuration that CONFIG_IKCONFIG put into the kernel (kernel/configs.c), or None."""
    start = vmlinux.find(b"IKCFG_ST\x1f\x8b")
    if start < 0:
        return None
    try:
        return zlib.decompressobj(wbits=31).decompress(vmlinux[start + 8 :]).decode(errors="replace")
    except zlib.error:
        return None


def require(release: str, config: Config | None, facts: Facts) -> None:
    """Raise SpecError, naming the option, when this suite cannot run on such a kernel.

    Where the configuration is not known, only what BTF tells is checked.
    """
    if not facts.memcg:
        raise _lacks(release, *REQUIRED[1])
    for name, why in REQUIRED if config is not None else ():
        if dict(config or ()).get(name) != "y":
            raise _lacks(release, name, why)


def require_bootable(release: str, config: Config | None, facts: Facts, found: Found) -> None:
    """Raise SpecError, naming options, modules and where these were looked for, when no VM can boot this kernel."""
    options = None if config is None else dict(config)
    absent = [option for option, _, _ in BOOTED_BY if options is not None and option not in options]
    if absent:
        raise SpecError(
            f"{release} cannot boot in a VM that shares files with the host: it lacks {' and '.join(absent)}",
            remedy=f"build it with {' and '.join(f'{option}=y' for option in absent)}",
        )
    lacking = {
        module: option
        for option, module, _ in BOOTED_BY
        if (module not in facts.built_in if options is None else options[option] != "y")
    }
    if lacking and found.directory:
        there = {*prune_modules.listed(found.directory), *prune_modules.built_in(found.directory)}
        lacking = {module: option for module, option in lacking.items() if module not in there}
    if lacking:
        where = f"{found.directory} has none of that name" if found.directory else "; ".join(found.others)
        raise SpecError(
            f"{release} boots in a VM with the modules {', '.join(lacking)}, and none were found: {where}",
            remedy=f"pass it with its modules, as ROOT/boot/vmlinuz-{release} with ROOT/lib/modules/{release}, "
            f"or build it with {' and '.join(f'{option}=y' for option in lacking.values())}",
        )


def _lacks(release: str, name: str, why: str) -> SpecError:
    return SpecError(f"{release} was built without {name}: {why}", remedy=f"build it with {name}=y")
