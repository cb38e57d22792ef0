# SPDX-License-Identifier: GPL-2.0-only
"""A kernel's configuration: reading it, and what a run cannot do without."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Final

from kfunctest.errors import SpecError
from kfunctest.kernels.model import Facts

Config = tuple[tuple[str, str], ...]

#: What every run needs, with the reason. Each is a bool option of the kernel.
REQUIRED: Final = (
    ("CONFIG_CGROUPS", "the kfuncs are about cgroups"),
    ("CONFIG_MEMCG", "the memory controller is what is judged"),
    ("CONFIG_BPF_SYSCALL", "the kfuncs are called by BPF programs"),
    ("CONFIG_BPF_JIT", "the verifier refuses kfuncs without the JIT"),
    ("CONFIG_DEBUG_INFO_BTF", "kfuncs are found by their BTF"),
)

#: How the VM gets the host's files: the file system and its transport, each an option and its module. We boot with
#: virtme-ng's --force-9p, so virtiofs is no substitute.
SHARE: Final = (("CONFIG_9P_FS", "9p"), ("CONFIG_NET_9P_VIRTIO", "9pnet_virtio"))


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


def require_share(release: str, config: Config | None, modules: Path | None) -> None:
    """Raise SpecError, naming the options, when a VM of this kernel would not see the host's files."""
    if config is None:
        return
    options = dict(config)
    absent = [option for option, name in SHARE if not _usable(options.get(option), name, modules)]
    if absent:
        raise SpecError(
            f"{release} can share no files with the host: it lacks {' and '.join(absent)}"
            + ("" if modules else " built in, and no modules folder was found"),
            remedy="build it with CONFIG_9P_FS=y and CONFIG_NET_9P_VIRTIO=y, or pass the kernel with its modules",
        )


def _lacks(release: str, name: str, why: str) -> SpecError:
    return SpecError(f"{release} was built without {name}: {why}", remedy=f"build it with {name}=y")


def _usable(value: str | None, module: str, modules: Path | None) -> bool:
    if value != "m":
        return value == "y"
    return modules is not None and next(modules.rglob(f"{module}.ko*"), None) is not None
