# SPDX-License-Identifier: GPL-2.0-only
"""Standard output that fails without ending a hook half-way: the run ends by itself, with its results written."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

import pytest

from kfunctest.run import flush, open_standard_streams, silence


class Output:
    """A standard stream. What cannot be written is dropped, and so is all that follows; ``lost`` says why."""

    def __init__(self, stream: TextIO, *, closed: bool) -> None:
        self._stream = stream
        self.lost = os.strerror(errno.EBADF) if closed else ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write, or drop."""
        if not self.lost:
            with self._losing():
                self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, or drop."""
        if not self.lost:
            with self._losing():
                self._stream.flush()

    @contextmanager
    def _losing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.lost = error.strerror or str(error)
            silence(self._stream)


#: Standard output and error of the process that has the terminal. Between its tests pytest's capturing puts others into
#: sys, those from before this module was asked.
STREAMS: pytest.StashKey[tuple[Output, Output]] = pytest.StashKey()


def lost(config: pytest.Config) -> str:
    """Why standard output cannot be written; empty where it can."""
    if streams := config.stash.get(STREAMS, None):
        streams[0].flush()
        return streams[0].lost
    return ""


def complain(config: pytest.Config, text: str) -> None:
    """Write a line to standard error, if that can be written."""
    if streams := config.stash.get(STREAMS, None):
        streams[1].write(f"{text}\n")
        streams[1].flush()


@contextmanager
def watched(config: pytest.Config) -> Iterator[None]:
    """Let pytest write through Outputs while the block lasts."""
    closed = sys.stdout is None
    open_standard_streams()
    before = sys.stdout, sys.stderr
    out, err = config.stash[STREAMS] = Output(sys.stdout, closed=closed), Output(sys.stderr, closed=False)
    sys.stdout, sys.stderr = cast("TextIO", out), cast("TextIO", err)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        flush()
