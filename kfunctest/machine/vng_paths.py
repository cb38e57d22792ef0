# SPDX-License-Identifier: GPL-2.0-only
"""Which paths virtme-ng, QEMU and a guest can take, and what is done about the others.

virtme-ng builds a shell command of its arguments, QEMU options of its temporary files (commas separate there, and it
does not double them), and a kernel command line, in which nothing can quote a quotation mark. The guest has this
machine's files, but for some directories that virtme-ng's init covers.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path

from kfunctest import cache
from kfunctest.errors import InfraError
from kfunctest.kernels.model import Kernel

CHECKOUT = Path(__file__).resolve().parents[2]
#: Directories that virtme-ng's init covers with an empty tmpfs of the guest's own.
HIDDEN = ("/dev", "/proc", "/run", "/sys", "/var/cache", "/var/log", "/var/tmp")  # noqa: S108 (nothing is written)
#: Bytes that the path of the checkout, and of its virtual environment, may have: both are in the kernel's command line,
#: which without them has up to 1,040 bytes, and of which x86 kernels take 2,047 (COMMAND_LINE_SIZE).
LONGEST = 400

_PLAIN = re.compile(r"[\w./+-]{1,96}", re.ASCII)
#: In what becomes PATH, an argument of the kernel, and the first line of the scripts that pip installs.
_UNUSABLE = re.compile(r'[":\\$`\x00-\x1f\x7f]')


def is_plain(path: Path) -> bool:
    """Whether every program takes ``path`` without quoting, and the guest sees it."""
    return _PLAIN.fullmatch(str(path)) is not None and not _hidden_below(path)


def temporary_directories() -> list[Path]:
    """Where a VM's run directory may be made, in order: the user's choice where it is plain, else our own."""
    chosen = Path(tempfile.gettempdir())
    if is_plain(chosen):
        return [chosen]
    return [path for path in (Path("/tmp"), cache.root() / "vms") if is_plain(path)] or [chosen]  # noqa: S108


def check_installation() -> None:
    """Raise InfraError where virtme-ng could not start from this checkout, this interpreter and this cache."""
    environment = "the virtual environment"
    # The scripts in it were made where a link to it leads.
    move = "move it to a path without that"
    cached = "set KFUNCTEST_CACHE to a directory without that"
    for what, path, remedy in (
        ("this checkout", CHECKOUT, move),
        (environment, Path(sys.prefix), cached),
        (environment, Path(sys.prefix).resolve(), cached),
    ):
        if found := _UNUSABLE.search(str(path)):
            raise InfraError(
                f"{what} is at {str(path)!r}, and virtme-ng supports no {found[0]!r} in a path",
                remedy=remedy,
            )
        if len(os.fsencode(path)) > LONGEST:
            raise InfraError(
                f"the path of {what} has {len(os.fsencode(path))} bytes, and a kernel's command line has space for "
                f"{LONGEST}",
                remedy="move it to a shorter one",
            )
        must_be_visible(what, path)
    must_be_visible("the cache", cache.root())


def check_files(kernel: Kernel) -> None:
    """Raise InfraError where the guest would not see the kernel's modules, or its image, which tests read as a file."""
    must_be_visible("the kernel's image", kernel.image)
    if kernel.modules is not None:
        must_be_visible("the kernel's modules directory", kernel.modules)


def must_be_visible(what: str, path: Path) -> None:
    """Raise InfraError for a path that a guest would not see, or that is not UTF-8."""
    if hidden := _hidden_below(path):
        raise InfraError(
            f"{what} is at {path.resolve()}, and a guest sees nothing below {hidden}", remedy="move it elsewhere"
        )
    try:
        as_guest_reads_it = str(path).encode()
    except UnicodeEncodeError:
        as_guest_reads_it = b""
    if as_guest_reads_it != os.fsencode(path) or "\n" in str(path):
        raise InfraError(
            f"{what} is at {str(path)!r}, and a guest is given paths as one line of UTF-8 only",
            remedy="rename it, or use a UTF-8 locale",
        )


def bootable(kernel: Kernel, run_directory: Path) -> Path:
    """The image's path for virtme-ng: its own, or one through a link in the plain ``run_directory``.

    The image itself is named in shell words and one argument of QEMU's, which take any path. The path of its modules
    goes into the kernel's command line.
    """
    if kernel.modules is None:
        return kernel.image
    image, tree = kernel.image.absolute(), kernel.modules.resolve()
    if tree in image.resolve().parents[1:]:  # a build tree
        image, root = image.resolve(), tree
    else:  # virtme-ng looks for lib/modules/RELEASE below the nearest directory above the image that has lib/modules
        libs = ("lib/modules", "usr/lib/modules")
        root = next((path for path in image.parents if any((path / lib).exists() for lib in libs)), Path("/"))
    if _PLAIN.fullmatch(str(root)):
        return kernel.image
    link = run_directory / "kernel"
    link.symlink_to(root)
    return link / image.relative_to(root)


def _hidden_below(path: Path) -> str | None:
    real = path.resolve()
    return next((hidden for hidden in HIDDEN if real.is_relative_to(hidden)), None)
