# SPDX-License-Identifier: GPL-2.0-only
"""Virtual environments in the cache, one for each Python and set of pins; ``.venv`` in the checkout leads to one.

An environment is made in the place where it stays, since its programs name that place; its stamp is the last thing
written. It is made and removed under its lock, which each run that uses it shares: one in use is never changed.
"""

from __future__ import annotations

import itertools
import os
import shutil
import sys
import sysconfig
import time
from contextlib import suppress
from pathlib import Path

from kfunctest import cache
from kfunctest.setup.run_installer import say, watch

#: The longest that pip may take, in seconds.
PIP_SECONDS = 1800.0
#: An environment that no run has used for so long makes room for a new one, in seconds.
UNUSED_SECONDS = 30 * 86400.0

#: Raised when the way in which an environment is made changes.
_RECIPE = "2"
_KIND = "venvs"
_STAMP = "kfunctest.stamp"
#: What pip takes from the user's environment variables that would make it install elsewhere or nothing.
_PIP: dict[str, str | None] = {
    "PIP_USER": "0",
    "PIP_TARGET": None,
    "PIP_PREFIX": None,
    "PIP_ROOT": None,
    "PIP_DRY_RUN": None,
}


def folder(checkout: Path) -> Path:
    """Where the environment is that this Python needs for the pins of this checkout. Raises InfraError."""
    python = (sys.base_prefix, sysconfig.get_config_var("SOABI") or sys.implementation.cache_tag)
    return cache.root() / _KIND / cache.digest(_pins(checkout), *map(str, python))


def is_complete(checkout: Path) -> bool:
    """Whether that environment is there, and was finished."""
    return _fits(folder(checkout), _pins(checkout))


def make(checkout: Path) -> None:
    """Make that environment unless it is there, and remove those that nobody uses. Raises InfraError."""
    place = folder(checkout)
    with cache.locked(lock(place)), cache.filling():
        if is_complete(checkout):
            return
        shutil.rmtree(place, ignore_errors=True)
        place.parent.mkdir(parents=True, exist_ok=True)
        watch("making a virtual environment", [sys.executable, "-I", "-m", "venv", str(place)], seconds=300)
        # Wheels only: a source package would fetch build tools that nobody pinned.
        pip = [str(place / "bin" / "python"), "-I", "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]
        options = ["--require-hashes", "--only-binary=:all:", "--no-warn-script-location", "--progress-bar=off"]
        watch(
            "installing the pinned Python packages",
            [*pip, *options, "-r", str(checkout / "requirements.txt")],
            seconds=PIP_SECONDS,
            env=_PIP,
        )
        (place / _STAMP).write_text(_pins(checkout))
    _remove_unused(place)


def hold(checkout: Path) -> Path | None:
    """Share that environment's lock until this process and what it becomes have ended; None where it is not there."""
    place = folder(checkout)
    handle = cache.share(lock(place))
    if not is_complete(checkout):
        os.close(handle)
        return None
    os.set_inheritable(handle, True)
    with suppress(OSError):
        os.utime(place / _STAMP)
    return place


def link(checkout: Path) -> None:
    """Let ``.venv`` lead to an environment with this checkout's pins, for who starts a program there by hand.

    One of another Python stays: a run that was started through the link goes on reading there. A folder of that name,
    which setup once filled, is only renamed, for the same reason. In a checkout that cannot be written there is none.
    """
    place = checkout / ".venv"
    if place.is_symlink() and _fits(place, _pins(checkout)):
        return
    new = checkout / f".venv-{os.getpid()}"
    with suppress(OSError):
        new.unlink(missing_ok=True)
        new.symlink_to(folder(checkout))
        if place.exists() and not place.is_symlink():
            say(f".venv was a folder, and is {_renamed(place).name} now; remove it when no earlier run uses it")
        new.replace(place)


def _renamed(place: Path) -> Path:
    names = (place.with_name(f".venv-old{number or ''}") for number in itertools.count())
    return place.rename(next(name for name in names if not os.path.lexists(name)))


def _remove_unused(own: Path) -> None:
    """Remove what killed set-ups left half-made, and what was not used for long, unless somebody holds it."""
    for place in own.parent.iterdir():
        if place == own or _used_lately(place):
            continue
        with cache.locked_at_once(lock(place)) as free:
            if free and not _used_lately(place):
                with suppress(OSError):
                    (place / _STAMP).unlink(missing_ok=True)
                shutil.rmtree(place, ignore_errors=True)


def _used_lately(place: Path) -> bool:
    try:
        return time.time() - (place / _STAMP).stat().st_mtime < UNUSED_SECONDS
    except OSError:
        return False


def _pins(checkout: Path) -> str:
    """What all environments for this checkout have in common."""
    return cache.digest(_RECIPE, (checkout / "requirements.txt").read_bytes())


def _fits(place: Path, pins: str) -> bool:
    try:
        return (place / _STAMP).read_text() == pins and (place / "bin" / "python").exists()
    except (OSError, UnicodeDecodeError):
        return False


def lock(place: Path) -> str:
    """The name of an environment's lock in the cache."""
    return f"{_KIND}-{place.name}"
