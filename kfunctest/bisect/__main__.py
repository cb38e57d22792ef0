# SPDX-License-Identifier: GPL-2.0-only
"""The commands behind scripts/bisect and scripts/series; ``step`` is for a ``git bisect run`` of somebody's own."""

from __future__ import annotations

import sys

from kfunctest.bisect import command, series, step

#: By the first argument; any other one is one of scripts/bisect's own. scripts/series adds its name itself.
SUBCOMMANDS = {"step": step.main, "series": series.main}


def main(argv: list[str]) -> int:
    """Run one of the commands; returns its exit status."""
    if argv and argv[0] in SUBCOMMANDS:
        return SUBCOMMANDS[argv[0]](argv[1:])
    return command.main(argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
