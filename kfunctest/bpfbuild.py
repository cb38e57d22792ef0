# SPDX-License-Identifier: GPL-2.0-only
"""Compile BPF programs with the distribution's clang, once per content, into the user's cache."""

from __future__ import annotations

import os
import platform
import re
import shlex
from pathlib import Path

from kfunctest import cache, proc
from kfunctest.errors import InfraError, NoSpace, SpecError

#: v3 instructions (32-bit jumps) are in every kernel since 5.1, and in every clang since 9.
FLAGS = ("-target", "bpf", "-g", "-O2", "-mcpu=v3", "-Wall", "-Werror")

#: Seconds for one file; the largest takes half a second here.
DEADLINE = 60.0

_LIBBPF_HEADER = Path("/usr/include/bpf/bpf_helpers.h")
_HEADER_PACKAGES = {
    "bpf": "libbpf-dev (Debian, Ubuntu), libbpf-devel (Fedora), libbpf (Arch)",
    "linux": "linux-libc-dev (Debian, Ubuntu), kernel-headers (Fedora), linux-api-headers (Arch)",
    "asm": "linux-libc-dev (Debian, Ubuntu), kernel-headers (Fedora), linux-api-headers (Arch)",
}
_NO_HEADER = re.compile(r"error: '(bpf|linux|asm)/[^']*' file not found")


def build(source: Path) -> Path:
    """The object that clang makes of ``source``; headers are looked for beside it.

    Compiled again only when the file, a header beside it, the flags, clang or libbpf's headers change.
    Raises SpecError with the compiler's first error when the file does not compile, or is not there; InfraError without
    clang or without the headers of libbpf and the kernel, or on a full disk.
    """
    if not source.is_file():
        raise SpecError(f"there is no BPF program {source}", remedy="programs are in selftests/bpf/*.bpf.c")
    clang = Path(proc.need("clang"))
    name = source.name.removesuffix(".c").removesuffix(".bpf") + ".bpf.o"

    def make(folder: Path) -> None:
        _compile(clang, source, folder / name)

    return cache.entry("bpf", _key(clang, source), make) / name


def _key(clang: Path, source: Path) -> str:
    headers = sorted(path for path in source.parent.iterdir() if path.suffix == ".h")
    parts: list[bytes | str] = [source.name, source.read_bytes(), *FLAGS]
    for header in headers:
        parts += [header.name, header.read_bytes()]
    # Asking clang for its version takes longer than all else here, so a version is a binary's place, age and size.
    return cache.digest(*parts, _identity(clang), _identity(_LIBBPF_HEADER))


def _identity(path: Path) -> str:
    real = path.resolve()
    try:
        status = real.stat()
    except FileNotFoundError:
        return f"no {path}"
    return f"{real} {status.st_mtime_ns} {status.st_size}"


def _compile(clang: Path, source: Path, target: Path) -> None:
    command = [str(clang), *FLAGS, *_includes(source.parent), "-c", str(source)]
    done = proc.run([*command, "-o", target], seconds=DEADLINE, check=False)
    if done.status == 0:
        return
    errors = [line for line in done.stderr.splitlines() if "error:" in line]
    first = (errors or done.stderr.splitlines() or [f"clang ended with status {done.status} and no message"])[0]
    if proc.out_of_space(done.stderr):
        raise NoSpace(first)
    missing = _NO_HEADER.search(first)
    if missing:
        raise InfraError(first, remedy=f"install {_HEADER_PACKAGES[missing[1]]}, or run scripts/setup")
    raise SpecError(first, remedy=f"to see it again: {shlex.join([*command, '-o', os.devnull])}")


def _includes(folder: Path) -> list[str]:
    # clang for BPF does not look into the folder where Debian keeps <asm/types.h> of the machine.
    multiarch = Path(f"/usr/include/{platform.machine()}-linux-gnu")
    return ["-I", str(folder), *(["-I", str(multiarch)] if multiarch.is_dir() else [])]
