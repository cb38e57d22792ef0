# SPDX-License-Identifier: GPL-2.0-only
"""``python -m kfunctest.run STATUS MODULE ARGUMENT ...``: ``python -m MODULE ARGUMENT ...``, and its end.

Python's own status for an exception that nobody caught is 1, and 120 for output that cannot be written when it ends:
here both are STATUS. Runs under the system's Python too, before there is any package.
"""

from __future__ import annotations

import os
import runpy
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import TextIO

from kfunctest.errors import EXIT_INTERRUPTED

#: What stands in for a standard stream that is closed: in the place of output, something that refuses to be written.
_CLOSED = ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY))


def main(argv: Sequence[str]) -> int:
    """Run the module; returns the process's exit status."""
    failed, module, *arguments = argv
    sys.argv = [module, *arguments]
    return written(_status(module, int(failed)), int(failed))


def _status(module: str, failed: int) -> int:
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return int(end.code or 0)
        with suppress(OSError):
            sys.stderr.write(f"{end.code}\n")
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BaseException:  # noqa: BLE001 (whatever it is)
        with suppress(OSError):
            traceback.print_exc()
    else:
        return 0
    return failed


def written(status: int, failed: int) -> int:
    """``status`` once all output is written; ``failed`` for a good one of a run whose output cannot be."""
    return failed if not flush() and status == 0 else status


def flush() -> bool:
    """Write what is left for standard output and error, or drop it; whether that for standard output was written."""
    good = True
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            silence(stream)
            good &= stream is not sys.stdout
    return good


def silence(stream: TextIO) -> None:
    """Let what is left in the stream go nowhere, so that Python does not fail over it when it ends."""
    with suppress(OSError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
        stream.flush()


def open_standard_streams() -> None:
    """Put something in the place of closed standard streams: else the next file that is opened gets what we print."""
    for number, mode in _CLOSED:
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, mode)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            os.set_inheritable(number, True)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
