# SPDX-License-Identifier: GPL-2.0-only
"""Telling a person that something takes long: a bar on a terminal, one line at start and end in a log."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TextIO

from tqdm import tqdm

_MEGABYTE: Final = 1_000_000


class Progress:
    """Writes to ``stream``, standard error unless told otherwise."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream if stream is not None else sys.stderr

    def say(self, line: str) -> None:
        """Write one line."""
        self._stream.write(f"{line}\n")
        self._stream.flush()

    @contextmanager
    def transfer(self, what: str, size: int) -> Iterator[Callable[[int], None]]:
        """Show a transfer of ``size`` bytes; the function given is called with the number of bytes done so far."""
        if self._stream.isatty():
            columns, rows = shutil.get_terminal_size()  # tqdm shows nothing on a terminal that gives its size as 0 x 0
            with tqdm(
                total=size, desc=what, unit="B", unit_scale=True, file=self._stream, ncols=columns, nrows=rows
            ) as bar:
                yield lambda done: void(bar.update(min(done, size) - bar.n))
                bar.update(size - bar.n)
            return
        self.say(f"{what}: {size / _MEGABYTE:.0f} MB ...")
        start = time.monotonic()
        yield lambda _done: None
        self.say(f"{what}: done in {time.monotonic() - start:.0f} s")


def void(_result: object) -> None:
    """Drop a result, for lambdas that are called for their effect."""
