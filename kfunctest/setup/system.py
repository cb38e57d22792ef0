# SPDX-License-Identifier: GPL-2.0-only
"""The machine's packages: installed through apt where we may, named where we may not."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from kfunctest import proc
from kfunctest.errors import InfraError
from kfunctest.setup.needs import DISTRIBUTIONS, Need, missing
from kfunctest.setup.run_installer import watch

_INSTALL = {
    "Debian": "sudo apt-get install",
    "Ubuntu": "sudo apt-get install",
    "Fedora": "sudo dnf install",
    "Arch": "sudo pacman -S --needed",
}


def distribution(os_release: Path = Path("/etc/os-release")) -> str | None:
    """Which of DISTRIBUTIONS this machine runs or descends from, by os-release(5)'s ID and ID_LIKE; else None."""
    try:
        text = os_release.read_text()
    except OSError:
        return None
    fields = dict(line.partition("=")[::2] for line in text.splitlines())
    names = " ".join(fields.get(key, "").strip("\"'") for key in ("ID", "ID_LIKE")).split()
    known = {name.lower(): name for name in DISTRIBUTIONS}
    return next((known[name] for name in names if name in known), None)


def install_missing(*, build: bool = False) -> None:
    """Install what is missing. Raises InfraError with a table where we may not or where apt failed."""
    needs = missing(build=build)
    if not needs:
        return
    here = distribution()
    if here not in ("Debian", "Ubuntu") or proc.find("apt-get") is None:
        raise refusal(needs, here, "this is not a machine with apt")
    become_root = root_prefix()
    if become_root is None:
        raise refusal(needs, here, "this needs root, and sudo is not available or wants a password")
    _apt_install(become_root, sorted({need.package(here) for need in needs}))
    left = missing(build=build)
    if left:
        raise refusal(left, here, "apt-get installed the packages, and these are still missing")


def root_prefix() -> list[str] | None:
    """What to put before a command that root must run: nothing, sudo, or None when there is no way."""
    if os.geteuid() == 0:
        return []
    sudo = proc.find("sudo")
    if sudo is None:
        return None
    if proc.run([sudo, "-n", "true"], seconds=60, check=False).status == 0:
        return [str(sudo), "-n"]
    return [str(sudo)] if sys.stdin is not None and sys.stdin.isatty() else None


def refusal(needs: Sequence[Need], here: str | None, why: str) -> InfraError:
    """The message that names the missing tools, why each is needed, and its package on every distribution."""
    rows = [("missing", "why", *DISTRIBUTIONS)]
    rows += [(need.what, need.why, *need.packages) for need in needs]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    table = "\n".join(
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
    names = ", ".join(need.what for need in needs)
    remedy = "install the packages above"
    if here is not None:
        packages = dict.fromkeys(need.package(here) for need in needs)
        remedy = f"run: {_INSTALL[here]} {' '.join(packages)}"
    return InfraError(f"{table}\nsetup: cannot install {names}: {why}", remedy=remedy)


def _apt_install(become_root: list[str], packages: list[str]) -> None:
    apt = [
        *become_root,
        "env",
        "DEBIAN_FRONTEND=noninteractive",
        "NEEDRESTART_SUSPEND=1",
        "LC_ALL=C.UTF-8",
        "apt-get",
        "--quiet",
        "-oDPkg::Lock::Timeout=600",
    ]
    # A third party's broken source makes the update fail in part; whether it matters shows in the installation.
    watch("asking apt for its lists", [*apt, "update"], seconds=None)
    watch(
        f"installing {' '.join(packages)}",
        [*apt, "--yes", "--no-install-recommends", "install", *packages],
        seconds=None,
    )
