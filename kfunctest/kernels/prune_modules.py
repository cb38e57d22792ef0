# SPDX-License-Identifier: GPL-2.0-only
"""A folder of kernel modules cut down to those that a run can need.

A full distribution's folder lets udev in the guest load dozens of drivers for QEMU's devices, which under emulation
costs more time than the rest of the boot.
"""

from __future__ import annotations

import gzip
import lzma
import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import zstandard

from kfunctest import proc
from kfunctest.errors import SpecError
from kfunctest.kernels import image

#: What is kept, where the kernel has it as a module, and why. What these depend on is kept with them.
KEPT: Final = {
    "9p": "virtme-ng's root file system",
    "9pnet_virtio": "9p's transport to QEMU",
    "virtio_console": "virtme-ng's console and the channel of a script's output",
    "virtio_pci": "every virtio device on QEMU's PC machine",
    "virtio_mmio": "every virtio device on QEMU's microvm machine",
    "virtio_blk": "disk images: tests of real page cache and of swap",
    "overlay": "virtme-ng's writable folders over a read-only root",
    "unix": "udev in the guest",
    "ext4": "a real file system for page cache tests",
    "loop": "a file system in a file, and swap on it",
    "brd": "a block device in memory, without a disk image",
    "zram": "swap without a disk image",
    "lzo": "zswap's default compressor",
    "lzo_rle": "zram's default compressor",
    "lz4": "a compressor for zram and zswap",
    "zstd": "a compressor for zram and zswap",
}

#: A module's file: not its debugging information or signature next to it.
_MODULE: Final = re.compile(r"\.ko(?:\.(?:gz|xz|zst))?$")
#: Written by the kernel's build and read by depmod, and the configuration and the image where a package has them here.
_FILES: Final = ("modules.order", "modules.builtin", "modules.builtin.modinfo", "config", "vmlinuz")


@dataclass(frozen=True, slots=True)
class Found:
    """The directory of a kernel's modules, if there is one, and what was seen in the other candidates."""

    directory: Path | None
    others: tuple[str, ...] = ()


def prune(source: Path, root: Path, release: str) -> Path:
    """Copy of the modules folder ``source`` what KEPT names into ``root/lib/modules/release``, and run depmod there.

    Modules come out uncompressed, since unpacking them in an emulated guest is slow. Returns the new folder.
    Raises SpecError when a module is damaged, InfraError when depmod fails or is missing.
    """
    target = root / "lib" / "modules" / release
    target.mkdir(parents=True)
    for name in _FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)
    kernel = source / "kernel"
    available = listed(kernel) if kernel.is_dir() else {}
    for name, content in _closure(KEPT, available).items():
        relative = available[name].relative_to(source)
        place = target / relative.with_name(relative.name[: relative.name.index(".ko") + len(".ko")])
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    proc.run([proc.need("depmod"), "-a", "-b", root, release], seconds=120, env={"LC_ALL": "C"})
    return target


def listed(directory: Path) -> dict[str, Path]:
    """The modules in or below a directory, by name."""
    return {_name(path): path for path in directory.rglob("*.ko*")}


def built_in(directory: Path) -> frozenset[str]:
    """What the kernel of these modules has built in that could be a module. (Documentation/kbuild/kbuild.rst)"""
    try:
        lines = (directory / "modules.builtin").read_text().splitlines()
    except OSError:
        return frozenset()
    return frozenset(_name(Path(line)) for line in lines if ".ko" in line)


def built_for(directory: Path) -> str | None:
    """The release that the modules in ``directory`` were built for, by the vermagic of one; None where there is none.

    Not those next to ``kernel/``, which may be of another release with the same interface (weak-updates).
    """
    files = (directory / "kernel").rglob("*.ko*")
    path = next((file for file in files if _MODULE.search(file.name) and os.access(file, os.R_OK)), None)
    magic = dict(_info(path, _unpacked(path))).get("vermagic", "") if path else ""
    return magic.split(" ")[0] or None


def _closure(wanted: Iterable[str], available: dict[str, Path]) -> dict[str, bytes]:
    """The modules ``wanted`` that are available, and what they depend on, each with its content."""
    found: dict[str, bytes] = {}
    queue = [name for name in wanted if name in available]
    while queue:
        name = queue.pop()
        if name not in found and name in available:
            found[name] = content = _unpacked(available[name])
            queue += _depends(available[name], content)
    return found


def _name(path: Path) -> str:
    """The module's name as the kernel writes it: with underscores."""
    return path.name[: path.name.index(".ko")].replace("-", "_")


def _unpacked(path: Path) -> bytes:
    data = path.read_bytes()
    try:
        match path.suffix:
            case ".xz":
                return lzma.decompress(data)
            case ".gz":
                return gzip.decompress(data)
            case ".zst":
                return zstandard.ZstdDecompressor().decompressobj().decompress(data)
    except (OSError, EOFError, lzma.LZMAError, zstandard.ZstdError) as error:
        raise SpecError(f"the module {path} is damaged: {error}") from error
    return data


def _depends(path: Path, content: bytes) -> list[str]:
    """What a module says that it needs: by symbols (modpost writes ``depends``), and loaded first by its own wish."""
    names: list[str] = []
    for key, value in _info(path, content):
        if key == "depends":
            names += value.split(",")
        elif key == "softdep":
            pre = value.partition("pre:")[2].partition("post:")[0]
            names += pre.split()
    return [name.replace("-", "_") for name in names if name]


def _info(path: Path, content: bytes) -> list[tuple[str, str]]:
    """What a module says of itself. (include/linux/moduleinfo.h: MODULE_INFO)"""
    info = image.section(content, ".modinfo")
    if info is None:
        raise SpecError(f"the module {path} is damaged: it is no ELF file with a .modinfo section")
    pairs = (entry.decode(errors="replace").partition("=") for entry in info.split(b"\0"))
    return [(key, value) for key, _, value in pairs]
