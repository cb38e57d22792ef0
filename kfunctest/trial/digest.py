# SPDX-License-Identifier: GPL-2.0-only
"""What the result of a trial depends on, beyond its kernel and its arguments."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from kfunctest import cache
from kfunctest.machine import host_checks
from kfunctest.trial.suite import CHECKOUT

#: The suite and the harness that it runs in; the kernels' configurations, names and lists; the packages they import.
_SUITE: Final = ("kfunctest", "selftests", "conftest.py", "kernel-config", "pyproject.toml", "requirements.txt")


def of_suite(checkout: Path = CHECKOUT) -> str:
    """What tells two states of the checkout apart by which a kernel could be judged differently.

    What Python compiles the suite to is no part of it: a first run writes that.
    """
    parts: list[bytes | str] = []
    for file in _files(checkout):
        parts += [str(file.relative_to(checkout)), file.read_bytes()]
    return cache.digest(*parts)


def of_machine() -> str:
    """What tells two machines apart for the suite: versions of QEMU, virtme-ng, Python, and of clang as installed.

    Raises InfraError where QEMU is missing.
    """
    clang = Path(shutil.which("clang") or "/").resolve()
    status = clang.stat()
    return cache.digest(
        host_checks.versions(),
        platform.python_version(),
        platform.machine(),
        f"{clang} {status.st_size} {status.st_mtime_ns}",
    )


def _files(checkout: Path) -> Iterator[Path]:
    for name in _SUITE:
        top = checkout / name
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file() and "__pycache__" not in path.parts:
                yield path
