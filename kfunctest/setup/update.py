# SPDX-License-Identifier: GPL-2.0-only
"""scripts/setup --update: ask the Debian archive anew which kernel is the newest. Runs inside .venv."""

from __future__ import annotations

import sys

from kfunctest.errors import KfunctestError
from kfunctest.kernels import spec
from kfunctest.setup.watch import say


def main(argv: list[str]) -> int:
    """Resolve the default kernel anew; ``argv`` may hold a mirror. Returns the exit status."""
    try:
        kernel = spec.resolve(spec.DEFAULT, mirror=argv[0] if argv else None, update=True)
    except KfunctestError as error:
        say(str(error))
        return error.exit_status
    say(f"the default kernel is {kernel.release} ({kernel.origin})")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
