# SPDX-License-Identifier: GPL-2.0-only
"""scripts/setup --update: ask the Debian archive anew what its newest kernels and sources are. Runs inside .venv."""

from __future__ import annotations

import sys

from kfunctest.errors import KfunctestError
from kfunctest.kernels import debian_source, named, source, spec
from kfunctest.setup.run_installer import say


def main(argv: list[str]) -> int:
    """Resolve anew the default kernel, and those sources of kernels.toml that this machine has built from.

    ``argv`` may hold a mirror. Returns the exit status.
    """
    mirror = argv[0] if argv else None
    try:
        kernel = spec.resolve(spec.DEFAULT, mirror=mirror, update=True)
        say(f"the default kernel is {kernel.release} ({kernel.origin})")
        for name in dict.fromkeys(entry.source for entry in named.load().values()):
            if name is not None and debian_source.is_resolved(name, mirror):
                found = source.resolve(name, mirror=mirror, update=True)
                say(f"the source {name} is {found.words}")
    except KfunctestError as error:
        say(str(error))
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
