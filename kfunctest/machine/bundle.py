# SPDX-License-Identifier: GPL-2.0-only
"""The agent for a guest that shares this machine's files: which interpreter, and all its modules in one file."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import execnet

from kfunctest import cache, proc
from kfunctest.guest.log_markers import AGENT_ENDED
from kfunctest.machine.vng_paths import CHECKOUT

GUEST = CHECKOUT / "kfunctest" / "guest"
#: Programs that take the place of slower ones during boot.
SHORT_CUTS = GUEST / "boot"


def boot_path() -> str:
    """The kernel argument that becomes PATH of the guest's init: our short cuts first (kfunctest/guest/boot/).

    virtme-ng takes what is appended apart as a shell would.
    """
    return shlex.quote(f"PATH={SHORT_CUTS}:/bin:/sbin:/usr/bin:/usr/sbin")


def agent_script() -> str:
    """The shell script that runs the agent in the guest.

    The shell outlives the agent, and says in the kernel's log how that ended: the kernel lives then.
    """
    agent = shlex.join([_python(), "-I", "-S", "-u", str(GUEST / "main.py"), str(_bundle())])
    return f'{agent}; echo "<5>{AGENT_ENDED} $?" >/dev/kmsg\n'


def _python() -> str:
    """The interpreter for the guest: the system's where it is of our version, since its place is nearest to hand."""
    system = Path(f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}")
    return str(system if system.exists() else Path(sys.executable).resolve())


def _bundle() -> Path:
    """The bundle for this interpreter and this content of the agent, written once (see kfunctest/guest/bundle.py)."""
    python = Path(_python())
    gateway = Path(execnet.__file__).resolve().with_name("gateway_base.py")
    known = python.stat()
    sources = sorted(GUEST.glob("*.py"))
    key = cache.digest(
        *(str(python), str(known.st_mtime_ns), str(known.st_size), str(CHECKOUT)),
        *(source.read_bytes() for source in [gateway, *sources]),
    )

    def write(folder: Path) -> None:
        freeze: list[str | Path] = [python, "-I", "-S", GUEST / "bundle.py", gateway]
        (folder / "bundle").write_bytes(proc.run_binary(freeze, seconds=60))

    return cache.entry("agent", key, write) / "bundle"
