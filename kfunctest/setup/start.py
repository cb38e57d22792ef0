# SPDX-License-Identifier: GPL-2.0-only
"""Where scripts/setup enters Python: any that the system has, told to take no settings of its user's (``-I``)."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import MutableMapping
from contextlib import suppress
from pathlib import Path

#: Settings of Python, pytest, tox and git that were made for something else, and would decide what is run or found.
FOREIGN = ("PYTHON", "PYTEST_", "TOX", "GIT_")
#: What a user lets git read is theirs to say: safe.directory.
KEPT = ("GIT_CONFIG",)


def clean(environ: MutableMapping[str, str]) -> None:
    """Take away what our programs must not see."""
    for name in [name for name in environ if name.startswith(FOREIGN) and not name.startswith(KEPT)]:
        del environ[name]
    environ["PYTHONNOUSERSITE"] = "1"


def main(argv: list[str]) -> int:
    """Set up, and go on with what is to be run; returns the exit status of a set-up that does not get so far."""
    failed = int(argv[1]) if argv[:1] == ["--failed"] else 3
    try:
        sys.path.insert(0, str(Path.cwd()))
        from kfunctest.run import open_standard_streams

        open_standard_streams()
        clean(os.environ)
        from kfunctest.setup import __main__ as setup

        return setup.main(argv)
    except Exception:  # noqa: BLE001 (Python's own status for it is 1: the kernel is bad)
        with suppress(OSError):
            traceback.print_exc()
        return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
