# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's own BPF selftests: taken from the project's store of sources, and compiled, where that can be done."""

from __future__ import annotations

import re
import sys
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kfunctest import proc
from kfunctest.errors import InfraError
from kfunctest.kernels import source

SELFTESTS: Final = Path("tools/testing/selftests/bpf")
#: What is unpacked: the programs with their headers, libbpf's headers, and the uapi headers of that kernel.
_TAKEN: Final = (str(SELFTESTS), "tools/lib/bpf", "tools/include", "include/uapi/linux/bpf.h", "scripts/bpf_doc.py")
#: A file that says what is expected of a program.
_ANNOTATED: Final = re.compile(r"\b__(failure|success|msg|retval)\b")
#: What would have to be made of a built kernel, or loaded as a module, first.
_NOT_HERE: Final = re.compile(r'#include [<"](vmlinux\.h|.*bpf_testmod.*)[>"]')
#: As the kernel's own Makefile compiles them, for a processor that every clang knows; their warnings are not ours.
_FLAGS: Final = ("-target", "bpf", "-g", "-O2", "-mcpu=v3", "-std=gnu11", "-fno-strict-aliasing", "-Wno-everything")
_DEFINES: Final = ("-D__TARGET_ARCH_x86",)


@dataclass(frozen=True, slots=True)
class Compiled:
    """One of upstream's files: its object, or the compiler's first error."""

    name: str
    path: Path | None
    error: str = ""


def unpack(spec: str, folder: Path) -> str:
    """Unpack what is needed of the source ``spec`` into ``folder``. Returns the source's provenance."""
    found = source.resolve(spec)
    archive = folder / "source.tar"
    found.store.git("archive", "--format=tar", f"--output={archive}", found.tree, "--", *_TAKEN)
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="tar")
    archive.unlink()
    headers = folder / "headers" / "bpf"
    headers.mkdir(parents=True)
    for header in (folder / "tools/lib/bpf").glob("*.h"):
        (headers / header.name).symlink_to(header)
    made = proc.run(
        [sys.executable, folder / "scripts/bpf_doc.py", "--header", "--file", folder / "include/uapi/linux/bpf.h"],
        seconds=60,
    )
    (headers / "bpf_helper_defs.h").write_text(made.stdout)
    return found.words


def candidates(folder: Path) -> Iterator[Path]:
    """The annotated files that need neither vmlinux.h nor the module bpf_testmod."""
    for path in sorted((folder / SELFTESTS / "progs").glob("*.c")):
        text = path.read_text()
        if _ANNOTATED.search(text) and not _NOT_HERE.search(text):
            yield path


def compile_all(folder: Path) -> list[Compiled]:
    """Every candidate, compiled with this machine's clang."""
    (folder / "objects").mkdir()
    paths = list(candidates(folder))
    if not paths:
        raise InfraError(f"there are no BPF selftests in {folder}")
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda path: _compile(folder, path), paths))


def _compile(folder: Path, path: Path) -> Compiled:
    target = folder / "objects" / f"{path.stem}.bpf.o"
    include = (folder / "headers", folder / SELFTESTS, folder / "tools/include/uapi", folder / "tools/include")
    words = [word for place in (*include, Path("/usr/include/x86_64-linux-gnu")) for word in ("-I", str(place))]
    command = [proc.need("clang"), *_FLAGS, *_DEFINES, *words, "-c", str(path), "-o", str(target)]
    done = proc.run(command, seconds=120, check=False)
    if done.status == 0:
        return Compiled(path.name, target)
    errors = [line for line in done.stderr.splitlines() if "error:" in line]
    first = (errors or [f"clang ended with status {done.status}"])[0]
    return Compiled(path.name, None, first.replace(f"{folder}/", "").removeprefix(f"{SELFTESTS}/progs/"))
