# SPDX-License-Identifier: GPL-2.0-only
"""The command behind scripts/setup."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from kfunctest import cache
from kfunctest.errors import KfunctestError
from kfunctest.setup import judged, needs, system, venv
from kfunctest.setup.watch import say

CHECKOUT = Path(__file__).resolve().parents[2]


def set_up(checkout: Path, *, build: bool = False) -> bool:
    """Bring the machine and ``.venv`` up to what is wanted. Returns whether there was anything to do."""
    if not needs.missing(build=build) and venv.is_complete(checkout):
        return False
    with cache.locked(f"setup-{cache.digest(str(checkout))}"):
        system.install_missing(build=build)
        if not venv.is_complete(checkout):
            venv.make(checkout)
    return True


def main(argv: list[str]) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="scripts/setup", description="install what this machine lacks, fill .venv")
    parser.add_argument("--quiet", action="store_true", help="say nothing when there is nothing to do")
    parser.add_argument("--update", action="store_true", help="look for a newer default kernel")
    parser.add_argument("--debian-mirror", metavar="URL", help="with --update: the mirror that runs are told to use")
    parser.add_argument("--build", action="store_true", help="install what kernels are built with, too")
    parser.add_argument(
        "--judging",
        nargs=argparse.REMAINDER,
        metavar="ARGUMENT",
        help="pytest's arguments: --build, if they name a kernel that is built from source",
    )
    # By hand: argparse's REMAINDER ends at a -- in it.
    end = argv.index("--judging") if "--judging" in argv else len(argv)
    options = parser.parse_args(argv[:end])
    build = options.build or judged.is_built(argv[end + 1 :], CHECKOUT)
    # What we started is ended before we are.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        changed = set_up(CHECKOUT, build=build)
    except KfunctestError as error:
        say(str(error))
        return error.exit_status
    except KeyboardInterrupt:
        say("interrupted; run it again to finish")
        return 130
    if changed or not options.quiet:
        say("done" if changed else "nothing to do")
    if options.update:
        os.chdir(CHECKOUT)
        python = ".venv/bin/python"
        mirror = [options.debian_mirror] if options.debian_mirror else []
        os.execv(python, [python, "-m", "kfunctest.setup.update", *mirror])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
