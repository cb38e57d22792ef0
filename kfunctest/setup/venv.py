# SPDX-License-Identifier: GPL-2.0-only
"""The checkout's virtual environment, complete or made anew: its stamp is the last thing written."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kfunctest import cache
from kfunctest.errors import InfraError
from kfunctest.setup.watch import watch

#: The longest that pip may take, in seconds.
PIP_SECONDS = 1800.0

#: Raised when the way in which the environment is made changes.
_RECIPE = "1"


def wanted(checkout: Path) -> str:
    """The stamp of the environment that this checkout needs: its pins, this Python, and the place it stands in."""
    pins = (checkout / "requirements.txt").read_bytes()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return cache.digest(_RECIPE, pins, version, sys.base_prefix, str(checkout))


def is_complete(checkout: Path) -> bool:
    """Whether ``.venv`` is the one wanted, and was finished."""
    try:
        stamp = _stamp(checkout).read_text()
    except (OSError, UnicodeDecodeError):
        return False
    return stamp == wanted(checkout) and _python(checkout).exists()


def make(checkout: Path) -> None:
    """Make ``.venv`` anew and install the pinned packages. Raises InfraError."""
    python = str(_python(checkout))
    with _writing(checkout):
        _stamp(checkout).unlink(missing_ok=True)
    watch("making .venv", [sys.executable, "-I", "-m", "venv", "--clear", str(checkout / ".venv")], seconds=300)
    # Wheels only: a source package would fetch build tools that nobody pinned.
    pip = [python, "-I", "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]
    options = ["--require-hashes", "--only-binary=:all:", "--no-warn-script-location", "--progress-bar=off"]
    watch(
        "installing the pinned Python packages",
        [*pip, *options, "-r", str(checkout / "requirements.txt")],
        seconds=PIP_SECONDS,
        env={"PIP_USER": "0"},
    )
    with _writing(checkout):
        _stamp(checkout).write_text(wanted(checkout))


@contextmanager
def _writing(checkout: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InfraError(
            f"{checkout / '.venv'} cannot be written: {error.strerror}",
            remedy="free some space, or clone into a folder of yours",
        ) from error


def _stamp(checkout: Path) -> Path:
    return checkout / ".venv" / "kfunctest.stamp"


def _python(checkout: Path) -> Path:
    return checkout / ".venv" / "bin" / "python"
