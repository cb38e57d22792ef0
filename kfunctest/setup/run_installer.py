# SPDX-License-Identifier: GPL-2.0-only
"""Running a long installer: its last line shows on a terminal, and its failure becomes one clear line."""

from __future__ import annotations

import re
import shlex
import shutil
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence

from kfunctest import proc
from kfunctest.errors import InfraError

#: What installers print on failures that are the machine's, and what we say then: (pattern, problem, remedy).
KNOWN = (
    (
        r"no space left on device|enough free space|disk quota exceeded",
        "the disk is full",
        "free some space",
    ),
    (
        r"temporary failure (resolving|in name resolution)|could not resolve|name or service not known"
        r"|could not connect|unable to connect|connection (failed|refused|timed out)|network is unreachable"
        r"|newconnectionerror|max retries exceeded|connecttimeout",
        "the network does not answer",
        "setup needs it once; connect, or set a proxy",
    ),
    (
        r"do not match the hashes",
        "a package is not the one that requirements.txt pins",
        "look at the index that pip uses here",
    ),
    (
        r"requires a different python|no matching distribution found",
        "the package index lacks a pinned package for this Python",
        "look at the index that pip uses here (pip config list)",
    ),
    (r"permission denied|read-only file system", "a folder cannot be written", "look at who owns the checkout"),
)


def say(text: str) -> None:
    """Tell the user one thing, on stderr: stdout belongs to what runs after setup."""
    sys.stderr.write(f"setup: {text}\n")
    sys.stderr.flush()


def watch(
    what: str,
    argv: Sequence[str],
    *,
    seconds: float | None,
    env: Mapping[str, str | None] | None = None,
) -> None:
    """Run ``argv`` to its end, with ``what`` said before. Raises InfraError when it fails.

    ``seconds`` is the deadline. With None there is none, and the program stays in our terminal session: for what asks
    for a password (sudo) and for what must never be killed half-way (dpkg), which Ctrl-C reaches by itself.
    """
    say(what)
    start = time.monotonic()
    lines: list[str] = []
    with proc.spawn(
        argv, env=env, stdout=proc.PIPE, stderr=proc.STDOUT, foreground=seconds is None, guarded=True
    ) as process:
        alarm = None if seconds is None else threading.Timer(seconds, proc.kill_group, [process])
        if alarm:
            alarm.start()
        try:
            assert process.stdout is not None
            for raw in process.stdout:
                # dpkg counts percents with carriage returns inside one line.
                line = raw.decode(errors="backslashreplace").strip().rpartition("\r")[2]
                if line:
                    lines.append(line)
                    _show(line, time.monotonic() - start)
            status = process.wait()
        finally:
            if alarm:
                alarm.cancel()
            _show("", 0)
    if status:
        late = seconds is not None and status == -signal.SIGKILL and time.monotonic() - start >= seconds
        raise failure(argv, f"did not end within {seconds:g} s" if late else f"ended with status {status}", lines)


def failure(argv: Sequence[str], how: str, lines: Sequence[str]) -> InfraError:
    """The one line for an installer that failed after printing ``lines``."""
    output = "\n".join(lines)
    command = shlex.join(argv)
    for pattern, problem, remedy in KNOWN:
        if re.search(pattern, output, re.IGNORECASE):
            return InfraError(f"{problem} ({argv[0]} {how})", remedy=f"{remedy}; to see it again: {command}")
    told = [line for line in lines if line.startswith(("E:", "ERROR", "Error", "error", "sudo:"))] or list(lines)
    return InfraError(f"{argv[0]} {how}: {told[-1] if told else '(no output)'}", remedy=f"to see it again: {command}")


def _show(line: str, elapsed: float) -> None:
    """Keep the last line of output in place on a terminal; nothing elsewhere."""
    if sys.stderr.isatty():
        width = shutil.get_terminal_size().columns - 1
        sys.stderr.write("\r\x1b[K" + (f"  {elapsed:3.0f} s  {line}"[:width] if line else ""))
        sys.stderr.flush()
