# SPDX-License-Identifier: GPL-2.0-only
"""What every command line has in common: where relative paths start, wrong arguments, and how a command ends."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn, TypeVar

from kfunctest.errors import EXIT_INFRA, EXIT_INTERRUPTED, EXIT_USAGE, KfunctestError, SpecError

T = TypeVar("T")

#: ``git bisect run`` stops at a status of 128 and above, and takes anything lower for a verdict. (git-bisect(1))
GIT_ABORT: Final = 128


@dataclass(frozen=True, slots=True)
class Statuses:
    """A command's exit statuses where it has no verdict; 0 and 1 are verdicts in all of them.

    ``usage``: what was asked for cannot be. ``infra``: the machine, a tool, the network, or a fault of ours.
    """

    usage: int = EXIT_USAGE
    infra: int = EXIT_INFRA
    interrupted: int = EXIT_INTERRUPTED


_GIT: Final = Statuses(GIT_ABORT + EXIT_USAGE, GIT_ABORT + EXIT_INFRA)
#: By the name of the script. The gate has one status for all that it could not judge; 2 says the same of a mutant, and
#: of lines that could not be counted.
STATUSES: Final = {
    "bench": Statuses(),
    "bisect": _GIT,
    "build-kernel": Statuses(),
    "coverage": Statuses(infra=2),
    "gate": Statuses(2, 2),
    "mutate": Statuses(infra=2),
    "series": _GIT,
}


class Parser(argparse.ArgumentParser):
    """``prog`` is ``scripts/NAME``. A wrong command line ends in one line, with that script's status."""

    def error(self, message: str) -> NoReturn:
        """End with one line."""
        name = self.prog.removeprefix("scripts/")
        self.exit(STATUSES[name.split()[0]].usage, f"{name}: {message}; see {self.prog} --help\n")


def parsed(parser: argparse.ArgumentParser, argv: Sequence[str], kind: type[T]) -> T:
    """The command line as a frozen dataclass, lists as tuples: it has a field for each argument, and no other one.

    A subcommand names its own in the default ``kind``.
    """
    found = vars(parser.parse_args(argv))
    kind = found.pop("kind", kind)
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in found.items()})


def count(text: str) -> int:
    """An argument that is a number of zero or more."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is none of 0, 1, 2, ...")
    return int(text)


def positive(text: str) -> int:
    """An argument that is a number of one or more."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is none of 1, 2, 3, ...")
    return int(text)


def base() -> Path:
    """Where a relative path starts: scripts change to the checkout."""
    return Path(os.environ.get("KFUNCTEST_CWD", ""))


def split(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Our arguments, and those behind ``--``, which are pytest's."""
    end = list(argv).index("--") if "--" in argv else len(argv)
    return list(argv[:end]), list(argv[end + 1 :])


def say(line: str) -> None:
    """One line for the person who waits."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def span(seconds: float) -> str:
    """A time for people."""
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


class Steps:
    """The steps of a long command: one line each with their number, and on a terminal about how long the rest takes."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._number = 0
        self._last = time.monotonic()
        #: Seconds of those that took any time: what is taken over of an earlier run does not.
        self._took: list[float] = []

    def done(self, line: str) -> None:
        """Say that one more has ended."""
        now = time.monotonic()
        self._took += [now - self._last] if now - self._last > 1.0 else []
        self._last = now
        self._number += 1
        left = self._total - self._number
        known = left > 0 and self._took and sys.stdout.isatty()
        rest = f"\n  about {span(left * sum(self._took) / len(self._took))} left" if known else ""
        say(f"[{self._number}/{self._total}] {line}{rest}")


@contextmanager
def resumable(note: str = "what was found so far is kept: the same command goes on from there") -> Iterator[None]:
    """Whatever ends the block early says this, once it is reported."""
    try:
        yield
    except BaseException as error:
        error.add_note(note)
        raise


def run(name: str, work: Callable[[], int], *, at_once: bool = False) -> int:
    """The exit status of ``work``, whatever ends it: one line on stderr, and never the status of a verdict.

    SIGTERM ends it as Ctrl-C does, and what it started with it. With ``at_once`` an interrupted process waits for none
    of its threads.
    """
    statuses = STATUSES[name.split()[0]]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return work()
    except KfunctestError as error:
        evidence = f"{error.evidence.rstrip()}\n" if error.evidence else ""
        sys.stderr.write(f"{evidence}{name}: {_with_notes(str(error), error)}\n")
        return statuses.usage if isinstance(error, SpecError) else statuses.infra
    except OSError as error:
        sys.stderr.write(f"{name}: {_with_notes(str(error), error)}\n")
    except KeyboardInterrupt as error:
        sys.stderr.write(f"{name}: {_with_notes('interrupted', error)}\n")
        if at_once:
            sys.stderr.flush()
            sys.stdout.flush()
            os._exit(statuses.interrupted)
        return statuses.interrupted
    except Exception:  # noqa: BLE001 (Python's own status for it is 1, which is a verdict)
        traceback.print_exc()
    return statuses.infra


def _with_notes(line: str, error: BaseException) -> str:
    return "; ".join([line, *getattr(error, "__notes__", ())])
