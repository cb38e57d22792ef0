# SPDX-License-Identifier: GPL-2.0-only
"""The user's cache: entries appear whole or not at all, and two runs at once share them.

Layout below :func:`root`: ``kernels/``, ``resolved/`` (what "newest" meant), ``apt/``, ``facts/`` (of kernels, and
whether KVM works), ``bpf/`` and ``programs/`` (what was compiled), ``agent/`` (what the guest runs), ``trees/`` (kernel
sources in one git store, and the folders that kernels are built in), ``built/`` (kernels that were), ``boot/`` (links
to images and their modules), ``venvs/`` (virtual environments), ``locks/``. Any of it may be deleted while no run uses
it.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kfunctest.errors import InfraError, NoSpace

#: A folder of somebody else's, a read-only one, or a file in the place of a folder.
_UNWRITABLE = (errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR, errno.EEXIST)
#: With less than so many bytes free a disk counts as full.
_FULL = 1 << 20
SPACE_REMEDY = "free some, or set KFUNCTEST_CACHE to a larger disk"
#: Who waits for a lock longer than so many seconds is told.
_PATIENCE = 1.0


def root() -> Path:
    """``$KFUNCTEST_CACHE``, else ``kfunctest`` below ``$XDG_CACHE_HOME`` or ``~/.cache``. Not created here.

    A relative one starts where the user was, which scripts that change to the checkout put into ``$KFUNCTEST_CWD``.
    Raises InfraError where no folder is named and there is no home.
    """
    own = os.environ.get("KFUNCTEST_CACHE")
    if own:
        return Path(os.environ.get("KFUNCTEST_CWD", ""), own).absolute()
    try:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:
        raise InfraError("there is no place for a cache", remedy="set HOME or KFUNCTEST_CACHE") from None
    return Path(os.environ.get("KFUNCTEST_CWD", ""), base, "kfunctest").absolute()


def digest(*parts: bytes | str) -> str:
    """A name for content: 20 hexadecimal digits of the SHA-256 over ``parts``, each with its length before it."""
    sha = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        sha.update(len(data).to_bytes(8, "little"))
        sha.update(data)
    return sha.hexdigest()[:20]


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold the cache's lock called ``name``; who else wants it waits, and says so on stderr when that takes a while.

    The kernel frees it if we die. Taking a lock that this thread holds already waits for ever.
    """
    with _lock_file(name) as handle:
        _take(handle, fcntl.LOCK_EX)
        yield


@contextmanager
def locked_at_once(name: str) -> Iterator[bool]:
    """Hold the lock called ``name`` if nobody does; whether that is so."""
    with _lock_file(name) as handle:
        yield _taken_at_once(handle, fcntl.LOCK_EX)


def share(name: str) -> int:
    """Hold the lock called ``name`` together with others who share it, until the descriptor that is returned is closed.

    Programs that the descriptor is left to hold it too.
    """
    try:
        handle = os.open(_lock_path(name), os.O_RDONLY | os.O_CLOEXEC)  # in a cache of somebody else's, too
    except OSError:
        handle = _open(name)
    _take(handle, fcntl.LOCK_SH)
    return handle


def hold_own_environment() -> None:
    """Share the lock of the virtual environment that we run in, where it is one of the cache's, until we end."""
    place = Path(sys.prefix).resolve()
    with suppress(InfraError):
        if place.is_relative_to(root()):
            share(f"{place.parent.name}-{place.name}")


def _take(handle: int, how: int) -> None:
    if _taken_at_once(handle, how):
        return
    patience = threading.Timer(_PATIENCE, _say_that_we_wait)
    patience.start()
    try:
        fcntl.flock(handle, how)
    finally:
        patience.cancel()


@contextmanager
def _lock_file(name: str) -> Iterator[int]:
    handle = _open(name)
    try:
        yield handle
    finally:
        os.close(handle)


def _lock_path(name: str) -> Path:
    return root() / "locks" / f"{name}.lock"


def _open(name: str) -> int:
    path = _lock_path(name)
    with space_guard():
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)


def _taken_at_once(handle: int, how: int) -> bool:
    try:
        fcntl.flock(handle, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _say_that_we_wait() -> None:
    sys.stderr.write(f"waiting for another run that uses the cache in {root()} ...\n")
    sys.stderr.flush()


def entry(kind: str, key: str, make: Callable[[Path], None]) -> Path:
    """The folder ``kind/key``; where it is missing, ``make(folder)`` fills one beside it, which is then renamed.

    A killed ``make`` leaves only a ``.partial-`` folder, which the next one of its kind removes. Raises what
    ``make`` raises, and InfraError when the disk is full or the cache cannot be written.
    """
    place = root() / kind / key
    if place.is_dir():
        return place
    with locked(f"{kind}-{key}"), filling():
        if place.is_dir():
            return place
        place.parent.mkdir(parents=True, exist_ok=True)
        _sweep(kind, key)
        partial = Path(tempfile.mkdtemp(prefix=f".partial-{key}-", dir=place.parent))
        try:
            partial.chmod(0o755)
            make(partial)
            partial.rename(place)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return place


@contextmanager
def filling() -> Iterator[None]:
    """Say in one line that the disk is full, whoever filled it: we, or a program that we ran."""
    with space_guard():
        try:
            yield
        except NoSpace as error:
            raise no_space() from error
        except InfraError as error:
            if is_full():  # programs do not always say so: tar "wrote only" so much
                raise no_space() from error
            raise


def is_full() -> bool:
    """Whether the cache's disk is as good as full."""
    return shutil.disk_usage(root()).free < _FULL


def no_space() -> NoSpace:
    """The one line about a cache whose disk is full."""
    return NoSpace(f"no space left for the cache in {root()}", remedy=SPACE_REMEDY)


def _sweep(kind: str, own: str) -> None:
    """Remove what killed runs left half-made; ``own`` is the key whose lock the caller holds."""
    for stale in (root() / kind).glob(".partial-*-*"):
        key = stale.name.removeprefix(".partial-").rpartition("-")[0]
        with locked_at_once(f"{kind}-{key}") as free:
            if key == own or free:
                shutil.rmtree(stale, ignore_errors=True)


@contextmanager
def space_guard() -> Iterator[None]:
    """Turn a full disk or an unwritable cache into one line that says which folder and what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise no_space() from error
        if error.errno in _UNWRITABLE and str(error.filename or "").startswith(str(root())):
            raise InfraError(
                f"the cache {root()} cannot be written", remedy="set KFUNCTEST_CACHE to a folder of yours"
            ) from error
        raise
