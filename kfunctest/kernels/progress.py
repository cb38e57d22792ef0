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
#: Seconds between two lines about the same work, where there is no terminal.
_SPARSE_SECONDS: Final = 30.0


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

    @contextmanager
    def steps(self, what: str, expected: int | None, unit: str) -> Iterator[Callable[[int], None]]:
        """Show work that is counted in ``unit``; the function given is called with the number done so far.

        ``expected`` is about how many there will be, or None. Without a terminal a line comes every 30 s.
        """
        if self._stream.isatty():
            columns, rows = shutil.get_terminal_size()
            with tqdm(total=expected, desc=what, unit=f" {unit}", file=self._stream, ncols=columns, nrows=rows) as bar:
                yield lambda done: void(bar.update(min(done, expected or done) - bar.n))
                bar.total = bar.n  # there were fewer or more than expected: it is done
                bar.refresh()
            return
        start = time.monotonic()
        yield _Sparse(self.say, what, expected, unit)
        self.say(f"{what}: done in {time.monotonic() - start:.0f} s")


class _Sparse:
    """A line now and then: where the work stands."""

    def __init__(self, say: Callable[[str], None], what: str, expected: int | None, unit: str) -> None:
        self._say, self._what, self._unit = say, what, unit
        self._expected = expected
        self._began = self._said = time.monotonic()
        self._first: int | None = None
        say(f"{what} ...")

    def __call__(self, done: int) -> None:
        if self._first is None:
            self._first = done - 1  # what an earlier run had done took no time of this one
        if (now := time.monotonic()) - self._said >= _SPARSE_SECONDS:
            self._said = now
            if self._expected and done <= self._expected:
                left = (now - self._began) * (self._expected - done) / (done - self._first)
                minutes = "less than a minute" if left < 60 else f"about {left / 60:.0f} min"
                self._say(f"{self._what}: {done} of about {self._expected} {self._unit}, {minutes} left")
            else:
                self._say(f"{self._what}: {done} {self._unit}")


def void(_result: object) -> None:
    """Drop a result, for lambdas that are called for their effect."""
