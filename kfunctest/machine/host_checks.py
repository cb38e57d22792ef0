# SPDX-License-Identifier: GPL-2.0-only
"""What a VM needs from this machine, looked at before anything is downloaded or booted."""

from __future__ import annotations

import platform
import re
import resource
import sys
from importlib.metadata import version
from pathlib import Path

from kfunctest import proc
from kfunctest.errors import InfraError
from kfunctest.guest.libbpf_abi import LibbpfMissing, library
from kfunctest.machine import vng_paths

QEMU = "qemu-system-x86_64"
#: The guest runs on the host's own files, so the host's architecture is the guest's.
VERIFIED = "x86_64"
#: Files that QEMU is allowed to have open, and must be: it has those open that processes of the guest have (9p). One
#: test failed with 40, and passed with 64.
OPEN_FILES, FEWEST_OPEN_FILES = 1024, 256


def check() -> None:
    """Raise InfraError that names the first thing that is missing. Takes milliseconds."""
    if platform.machine() != VERIFIED:
        raise InfraError(
            f"this machine is {platform.machine()}; the suite was verified on x86-64 with 4 KiB pages only",
            remedy="run it on an x86-64 machine",
        )
    proc.need(QEMU)
    vng()
    vng_paths.check_installation()
    _allow_open_files()
    proc.need("clang")
    try:
        library()
    except LibbpfMissing as missing:
        raise InfraError(str(missing), remedy="scripts/setup installs it or names its package") from None


def _allow_open_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= OPEN_FILES:
        return
    allowed = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if allowed < FEWEST_OPEN_FILES:
        raise InfraError(
            f"a process may have {allowed} files open here, and a VM needs {FEWEST_OPEN_FILES}",
            remedy=f"raise the limit: ulimit -n {OPEN_FILES}",
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


def vng() -> Path:
    """virtme-ng's program, beside the interpreter that runs us. Raises InfraError when it is not there."""
    found = Path(sys.executable).with_name("vng")
    if not found.exists():
        raise InfraError("virtme-ng is not installed", remedy="run scripts/setup")
    return found


def versions() -> str:
    """QEMU's and virtme-ng's versions, in one line."""
    said = proc.run([proc.need(QEMU), "--version"], seconds=20).stdout
    found = re.search(r"version ([\w.]+)", said)
    return f"QEMU {found[1] if found else 'unknown'}, virtme-ng {version('virtme-ng')}"
