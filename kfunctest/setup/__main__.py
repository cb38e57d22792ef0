# SPDX-License-Identifier: GPL-2.0-only
"""The command behind scripts/setup, and behind the other scripts until what they run is there."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from kfunctest import cache, proc
from kfunctest.errors import EXIT_INFRA, EXIT_INTERRUPTED, EXIT_USAGE, KfunctestError
from kfunctest.setup import needs, needs_toolchain, system, venv
from kfunctest.setup.run_installer import say

CHECKOUT = Path(__file__).resolve().parents[2]


def set_up(checkout: Path, *, build: bool = False) -> bool:
    """Bring the machine and the virtual environment up to what is wanted. Returns whether there was anything to do."""
    lacking, made = bool(needs.missing(build=build)), venv.is_complete(checkout)
    if lacking:
        with cache.locked("setup"):
            system.install_missing(build=build)
    if not made:
        venv.make(checkout)
    venv.link(checkout)
    return lacking or not made


def main(argv: list[str]) -> int:
    """Run the command; returns its exit status, unless this process becomes what is to be run."""
    # By hand: what is run has options of its own.
    end = argv.index("--run") if "--run" in argv else len(argv)
    options, run = _parser().parse_args(argv[:end]), argv[end + 1 :]
    build = options.build or (options.build_if_named and needs_toolchain.is_built(run, CHECKOUT))
    # What we started is ended before we are.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        changed = set_up(CHECKOUT, build=build)
        if changed or not options.quiet:
            say("done" if changed else "nothing to do")
        if options.update:
            run = ["kfunctest.setup.refresh_kernels", *([options.debian_mirror] if options.debian_mirror else [])]
        if run:
            _become(run, EXIT_INFRA if options.failed is None else options.failed)
    except KfunctestError as error:
        say(str(error))
        return error.exit_status if options.failed is None else int(options.failed)
    except KeyboardInterrupt:
        say("interrupted; run it again to finish")
        return EXIT_INTERRUPTED
    return 0


class _Parser(argparse.ArgumentParser):
    """With the status that a wrong request has everywhere else."""

    def error(self, message: str) -> NoReturn:
        """End with one line."""
        self.exit(EXIT_USAGE, f"setup: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="scripts/setup", description="install what this machine lacks, and make the virtual environment"
    )
    parser.add_argument("--failed", type=int, metavar="STATUS", help=argparse.SUPPRESS)
    parser.add_argument("--build-if-named", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--quiet", action="store_true", help="say nothing when there is nothing to do")
    parser.add_argument("--update", action="store_true", help="look for a newer default kernel")
    parser.add_argument(
        "--debian-mirror", metavar="URL", help="with --update: the mirror, as in --debian-mirror of runs"
    )
    parser.add_argument("--build", action="store_true", help="install what kernels are built with, too")
    return parser


def _become(run: Sequence[str], failed: int) -> NoReturn:
    """Go on as this module of the virtual environment, which nobody removes while we hold it.

    By its own path, not by ``.venv``, which another set-up may lead elsewhere.
    """
    while (place := venv.hold(CHECKOUT)) is None:  # removed since we looked
        venv.make(CHECKOUT)
    python = str(place / "bin" / "python")
    # virtme-ng starts its parts by name.
    path = os.pathsep.join([str(place / "bin"), os.environ.get("PATH", os.defpath)])
    environment = {**os.environ, "PATH": path, "KFUNCTEST_VENV": str(place)}
    proc.end_guard()
    os.execve(python, [python, "-m", "kfunctest.run", str(failed), *run], environment)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
