# SPDX-License-Identifier: GPL-2.0-only
"""A kernel as a small immutable value with its provenance."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kfunctest import cache

#: Pairs of an enumerator's name and value.
Members = tuple[tuple[str, int], ...]

#: The enums whose members tests take as indexes and bounds.
ENUMS: Final = ("node_stat_item", "memcg_stat_item", "vm_event_item", "memcg_memory_event", "bpf_prog_type")


@dataclass(frozen=True, slots=True)
class Facts:
    """What the kernel's own BTF says: the contract is identified from it, and every bound is taken from it."""

    #: The members of each of ENUMS that the kernel has.
    enums: tuple[tuple[str, Members], ...]
    #: The memcg kfuncs that a contract knows.
    kfuncs: frozenset[str]
    #: All functions in BTF whose names begin with ``bpf_`` or ``css_rstat_``: each kfunc that tests call is one.
    bpf_functions: frozenset[str]
    #: Whether the memory controller is compiled in (CONFIG_MEMCG).
    memcg: bool
    #: The size of the BTF in bytes.
    btf_size: int
    #: The memcg kfuncs that no contract knows.
    unknown_kfuncs: frozenset[str] = frozenset()
    #: Of the modules that a VM boots by (config.BOOTED_BY), those that are built in.
    built_in: frozenset[str] = frozenset()
    #: The linker's digest of the vmlinux (kfunctest.guest.build_id); empty where it has none.
    build_id: str = ""

    def enum(self, name: str) -> dict[str, int]:
        """The members of ``enum name``. Raises KeyError when the kernel's BTF lacks it or it is none of ENUMS."""
        return dict(dict(self.enums)[name])


def digest_of(config: tuple[tuple[str, str], ...]) -> str:
    """A digest of the options that are set, sorted by name."""
    return cache.digest("".join(f"{name}={value}\n" for name, value in config))


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a kernel was built from and by."""

    #: The source in words, and its git tree with all patches applied.
    source: str
    tree: str
    #: Pairs of a patch's stable id (12 digits) and its subject.
    patches: tuple[tuple[str, str], ...]
    #: The fragments of kernel-config/ that were added to those of every kernel.
    flavours: tuple[str, ...]
    #: The compiler, linker and pahole as they name themselves.
    compiler: str
    linker: str
    pahole: str
    #: The contract that kernels.toml declares for it, or None.
    contract: str | None


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel that can be booted: where it is, where it came from, and what it says about itself."""

    #: What was asked for.
    spec: str
    #: As ``uname -r`` will print it.
    release: str
    #: What ``vng -r`` gets.
    image: Path
    #: The SHA-256 of the image's content, as far as :func:`kfunctest.cache.digest` keeps it.
    image_digest: str
    #: The folder of its modules, or None when it has none.
    modules: Path | None
    #: Its source in words, for reports.
    origin: str
    #: When the spec was resolved, as YYYY-MM-DD; None when the spec names a file.
    resolved: str | None
    #: The options that are set, sorted by name, or None when the configuration is not known.
    config: tuple[tuple[str, str], ...] | None
    facts: Facts
    #: The name that kernels.toml gives it, where it was asked for by that.
    name: str | None = None
    #: The contract that kernels.toml declares for it, or None.
    contract: str | None = None
    #: The ELF file with debugging information, where it is at hand: addresses are decoded by it.
    vmlinux: Path | None = None
    #: What it was built from, if we built it.
    provenance: Provenance | None = None

    @property
    def id(self) -> str:
        """A short name for test ids. Two images of one release share it; ``image_digest`` tells them apart."""
        return self.name or self.release

    @property
    def config_digest(self) -> str | None:
        """What tells two configurations apart: a digest of the options that are set; None when it is not known."""
        return None if self.config is None else digest_of(self.config)

    @property
    def compiler(self) -> str | None:
        """The compiler as it names itself (CONFIG_CC_VERSION_TEXT), or None when the configuration is not known."""
        return None if self.config is None else self.option("CONFIG_CC_VERSION_TEXT")

    def option(self, name: str) -> str | None:
        """The value of ``CONFIG_...`` (``y``, ``m``, a number, a string without quotes); None when it is not set.

        Raises LookupError when the configuration is not known.
        """
        if self.config is None:
            raise LookupError(f"the configuration of {self.release} is not known")
        return dict(self.config).get(name)
