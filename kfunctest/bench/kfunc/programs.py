# SPDX-License-Identifier: GPL-2.0-only
"""The experiment's C programs, compiled here, once per content: a guest runs on this machine's own files."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from kfunctest import bpfbuild, cache, proc
from kfunctest.errors import InfraError, SpecError
from kfunctest.machine.vng_paths import must_be_visible

SELFTESTS = Path(__file__).resolve().parents[3] / "selftests"
#: As a monitoring tool would be compiled. libbpf is the system's, as for the rest of the suite.
FLAGS = ("-O2", "-g", "-Wall", "-Wextra", "-Werror")
#: Seconds for one program; it takes half a second here.
DEADLINE = 60.0
_MISSING = re.compile(r"file not found|cannot find|unable to find library|unable to execute command")


@dataclass(frozen=True, slots=True)
class Programs:
    """Where the programs are: the control, the experiment, and the BPF object that it loads."""

    read_file: Path
    read_kfuncs: Path
    bpf: Path


def build() -> Programs:
    """Compile what has changed. Raises InfraError where a compiler, linker or header is missing."""
    must_be_visible("the cache", cache.root())
    return Programs(
        compiled(SELFTESTS / "bench" / "read_file.c"),
        compiled(SELFTESTS / "bench" / "read_kfuncs.c"),
        bpfbuild.build(SELFTESTS / "bpf" / "bench.bpf.c"),
    )


def compiled(source: Path) -> Path:
    """The program that clang makes of ``source``. Raises SpecError with its first error, InfraError as above."""
    clang = Path(proc.need("clang"))
    headers = [*sorted(source.parent.glob("*.h")), SELFTESTS / "bpf" / "bench.h"]
    # A library's or a compiler's update changes its files' ages.
    known = [clang.resolve(), *Path("/usr/include/bpf").glob("libbpf.h"), *Path("/usr/include").glob("stdio.h")]
    parts = [f"{path} {path.stat().st_mtime_ns}" for path in known]
    key = cache.digest(source.name, source.read_bytes(), *(path.read_bytes() for path in headers), *FLAGS, *parts)

    def make(folder: Path) -> None:
        argv = [str(clang), *FLAGS, "-I", str(SELFTESTS / "bpf"), str(source)]
        end = ["-o", str(folder / source.stem), "-lbpf"]
        done = proc.run([*argv, *end], seconds=DEADLINE, check=False)
        if done.status == 0:
            return
        lines = done.stderr.splitlines() or [f"clang ended with status {done.status}"]
        first = next((line for line in lines if "error" in line or _MISSING.search(line)), lines[0])
        if _MISSING.search(done.stderr):
            raise InfraError(first, remedy="scripts/setup --build installs what programs are compiled with")
        raise SpecError(first, remedy=f"to see it again: {shlex.join([*argv, '-o', '/dev/null', '-lbpf'])}")

    return cache.entry("programs", key, make) / source.stem
