# SPDX-License-Identifier: GPL-2.0-only
"""The directory of a long command: a new one, or that of an unfinished run of the same, which then goes on."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kfunctest import files
from kfunctest.errors import InfraError
from kfunctest.shell import resumable
from kfunctest.trial.log import Log

LOG: Final = "trials.jsonl"
#: Directories of one kind that are kept, the one in use among them.
KEPT: Final = 5


@dataclass(frozen=True, slots=True)
class Work:
    """A directory, the log in it, and whether another run has begun it."""

    folder: Path
    log: Log
    resumed: bool


@contextmanager
def work(results: Path, kind: str, digest: str, *, fresh: bool = False) -> Iterator[Work]:
    """A directory ``KIND-TIME-PID`` below ``results``, to which the link ``KIND-latest`` leads.

    It is the newest one that a run with the same ``digest`` has left unfinished, unless ``fresh``: of that run the log
    is taken over. ``digest`` stands for all that the results depend on. A run is unfinished until the block is left
    without an exception. Of the others the last ones are kept. Raises InfraError where ``results`` cannot be written.
    """
    try:
        results.mkdir(parents=True, exist_ok=True)
        folder, handle = None if fresh else _unfinished(results, kind, digest), -1
        folder = folder or _new(results, kind)
        handle = os.open(folder / LOG, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        why = "it is no directory" if results.exists() and not results.is_dir() else error.strerror
        raise InfraError(f"{results} cannot be written ({why})", remedy="choose another with --results") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        log = Log(folder / LOG)
        resumed = bool(log.entries)
        if not resumed:
            log.add(begin={"digest": digest, "kind": kind})
        _prune(results, kind, folder)
        files.point(results / f"{kind}-latest", folder.name)
        with resumable():
            yield Work(folder, log, resumed)
        log.add(end={})
    finally:
        os.close(handle)


def _new(results: Path, kind: str) -> Path:
    while (folder := results / f"{kind}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}").exists():
        time.sleep(0.1)  # this process has begun another one in this second
    folder.mkdir()
    return folder


def _all(results: Path, kind: str) -> list[Path]:
    """The directories of this kind, the oldest first."""
    return sorted(path for path in results.iterdir() if re.fullmatch(rf"{kind}-\d{{8}}-\d{{6}}-\d+", path.name))


def _unfinished(results: Path, kind: str, digest: str) -> Path | None:
    for folder in reversed(_all(results, kind)):
        entries = Log(folder / LOG).entries if not _in_use(folder) else []
        begun = entries and entries[0].get("begin", {}).get("digest") == digest
        if begun and not any("end" in entry for entry in entries):
            return folder
    return None


def _prune(results: Path, kind: str, own: Path) -> None:
    ended = [folder for folder in _all(results, kind) if folder != own and not _in_use(folder)]
    for folder in ended[: 1 - KEPT]:
        shutil.rmtree(folder, ignore_errors=True)


def _in_use(folder: Path) -> bool:
    """Whether a run has it now. The kernel frees the lock of a process that dies."""
    try:
        handle = os.open(folder / LOG, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False
