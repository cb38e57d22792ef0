# SPDX-License-Identifier: GPL-2.0-only
"""What a run needs from the machine, how to tell that it is there, and which package holds it. Data, mostly."""

from __future__ import annotations

import importlib.util
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kfunctest import proc

#: The distributions that the table below covers, in the order in which a message names them.
DISTRIBUTIONS = ("Debian", "Ubuntu", "Fedora", "Arch")

#: libbpf is used from this release on (major, minor).
LIBBPF = (1, 1)

_INCLUDE = Path("/usr/include")
_PT_INTERP = 3


@dataclass(frozen=True, slots=True)
class Need:
    """Something that must be on the machine. ``packages`` holds one package's name for each of DISTRIBUTIONS."""

    what: str
    why: str
    present: Callable[[], bool]
    packages: tuple[str, str, str, str]

    def package(self, distribution: str) -> str:
        """The package that holds it on one of DISTRIBUTIONS."""
        return self.packages[DISTRIBUTIONS.index(distribution)]


def tool(name: str) -> Callable[[], bool]:
    """A probe: is there a program of this name?"""
    return lambda: proc.find(name) is not None


def any_file(*paths: str | Path) -> Callable[[], bool]:
    """A probe: is any of these files there?"""
    return lambda: any(Path(path).is_file() for path in paths)


def header(name: str) -> Callable[[], bool]:
    """A probe: is this C header there, in the plain place or in a multi-arch one?"""
    return any_file(_INCLUDE / name, _INCLUDE / "x86_64-linux-gnu" / name)


def libbpf_is_new_enough() -> bool:
    """Whether libbpf.so.1 loads here and is at least LIBBPF. (The guest runs on this machine's own files.)"""
    import ctypes

    try:
        library = ctypes.CDLL("libbpf.so.1")
    except OSError:
        return False
    return (library.libbpf_major_version(), library.libbpf_minor_version()) >= LIBBPF


def busybox_is_static() -> bool:
    """Whether the busybox that virtme-ng would put into its initramfs runs there, without any library."""
    for name in ("busybox-static", "busybox.static", "busybox"):
        found = proc.find(name)
        if found:
            return _is_static(found)
    return False


def _is_static(program: Path) -> bool:
    """Whether a 64-bit ELF file names no interpreter (elf(5): Elf64_Ehdr, Elf64_Phdr)."""
    with program.open("rb") as file:
        head = file.read(64)
        if len(head) < 64 or head[:5] != b"\x7fELF\x02":
            return False
        (offset,) = struct.unpack_from("<Q", head, 32)
        size, count = struct.unpack_from("<HH", head, 54)
        file.seek(offset)
        table = file.read(size * count)
    return all(struct.unpack_from("<I", table, at)[0] != _PT_INTERP for at in range(0, len(table), size))


_VENV = f"python3.{sys.version_info.minor}-venv"

NEEDS = (
    Need(
        "qemu-system-x86_64",
        "runs the VM",
        tool("qemu-system-x86_64"),
        ("qemu-system-x86", "qemu-system-x86", "qemu-system-x86-core", "qemu-system-x86"),
    ),
    Need("clang", "compiles the BPF programs", tool("clang"), ("clang",) * 4),
    Need("libbpf.so.1 (1.1 or newer)", "loads them", libbpf_is_new_enough, ("libbpf1", "libbpf1", "libbpf", "libbpf")),
    Need(
        "bpf/bpf_helpers.h",
        "BPF programs include it",
        header("bpf/bpf_helpers.h"),
        ("libbpf-dev", "libbpf-dev", "libbpf-devel", "libbpf"),
    ),
    Need(
        "asm/types.h",
        "BPF programs include it",
        header("asm/types.h"),
        ("linux-libc-dev", "linux-libc-dev", "kernel-headers", "linux-api-headers"),
    ),
    Need("modprobe", "the VM loads its modules", tool("modprobe"), ("kmod",) * 4),
    Need(
        "a static busybox",
        "the VM's first program",
        busybox_is_static,
        ("busybox-static", "busybox-static", "busybox", "busybox"),
    ),
    Need(
        "systemd-udevd",
        "makes the VM's devices",
        any_file("/usr/lib/systemd/systemd-udevd", "/lib/systemd/systemd-udevd"),
        ("udev", "udev", "systemd-udev", "systemd"),
    ),
    Need("file", "virtme-ng reads a kernel's version with it", tool("file"), ("file",) * 4),
    Need(
        "Python's ensurepip",
        "makes the virtual environment",
        lambda: importlib.util.find_spec("ensurepip") is not None,
        (_VENV, _VENV, "python3", "python"),
    ),
    Need("apt-get", "fetches Debian's kernels", tool("apt-get"), ("apt",) * 4),
    Need("dpkg-deb", "unpacks them", tool("dpkg-deb"), ("dpkg",) * 4),
    Need(
        "Debian's archive keys",
        "prove that they are Debian's",
        # The same as in kernels/apt.py, which setup cannot import: it runs before there are packages.
        any_file(*(f"/usr/share/keyrings/debian-archive-keyring.{end}" for end in ("gpg", "pgp"))),
        ("debian-archive-keyring", "debian-archive-keyring", "debian-keyring", "debian-archive-keyring"),
    ),
)


#: What kernels are built with, beyond NEEDS.
BUILD_NEEDS = (
    Need("git", "holds the sources of kernels", tool("git"), ("git",) * 4),
    Need("make", "builds kernels", tool("make"), ("make",) * 4),
    Need("gcc", "compiles them", tool("gcc"), ("gcc",) * 4),
    Need("ld", "links them", tool("ld"), ("binutils",) * 4),
    Need(
        "the C library's headers",
        "tools of their build are compiled",
        header("stdio.h"),
        (*("libc6-dev",) * 2, "glibc-devel", "glibc"),
    ),
    Need("flex", "builds their configurator", tool("flex"), ("flex",) * 4),
    Need("bison", "builds their configurator", tool("bison"), ("bison",) * 4),
    Need("bc", "their build computes with it", tool("bc"), ("bc",) * 4),
    Need("perl", "their build has scripts in it", tool("perl"), ("perl",) * 4),
    Need(
        "libelf.h",
        "objtool and resolve_btfids include it",
        header("libelf.h"),
        ("libelf-dev", "libelf-dev", "elfutils-libelf-devel", "libelf"),
    ),
    Need(
        "zlib.h",
        "resolve_btfids includes it",
        header("zlib.h"),
        ("zlib1g-dev", "zlib1g-dev", "zlib-devel", "zlib"),
    ),
    Need("pahole", "makes their BTF", tool("pahole"), ("pahole", "pahole", "dwarves", "pahole")),
    Need("xz", "unpacks Debian's sources", tool("xz"), ("xz-utils", "xz-utils", "xz", "xz")),
)


def missing(*, build: bool = False) -> tuple[Need, ...]:
    """The needs that this machine does not meet, with those of a ``build``. Looks at files only; takes milliseconds."""
    return tuple(need for need in (*NEEDS, *(BUILD_NEEDS if build else ())) if not need.present())
