# SPDX-License-Identifier: GPL-2.0-only
"""The command behind scripts/coverage."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Final

from kfunctest.coverage import report
from kfunctest.errors import EXIT_USAGE, InfraError, KfunctestError, SpecError
from kfunctest.gate.suite import CHECKOUT, pytest_suite
from kfunctest.kernels import build, paths, spec
from kfunctest.kernels.progress import Progress

#: Of kernels.toml.
KERNEL: Final = "7.2-coverage"
RESULTS: Final = CHECKOUT / "results" / "coverage"
TEXT: Final = "coverage.txt"
EXIT_COVERED, EXIT_MISSING, EXIT_UNJUDGED = 0, 1, 2
#: The shell's status for a program that Ctrl-C ended.
EXIT_INTERRUPTED: Final = 130
_SECONDS: Final = 3 * 3600.0


def main(argv: list[str]) -> int:
    """Run the command; returns its exit status."""
    options = _parser().parse_args(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return _coverage(options)
    except (KfunctestError, OSError) as error:
        sys.stderr.write(f"coverage: {error}\n")
        return EXIT_USAGE if isinstance(error, SpecError) else EXIT_UNJUDGED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/coverage",
        description=f"run the suite on {KERNEL}, and tell which lines and branches of the kfuncs it reaches",
        epilog=f"What stands behind a -- goes to pytest. Exit status: 0: all of {report.WHOLE} is reached, but for "
        f"what {report.EXCUSES.name} gives a reason for; 1: something is not; 2: it could not be counted",
    )
    parser.add_argument("--results", metavar="DIR", help="where all is kept (default: results/coverage)")
    parser.add_argument(
        "--from", dest="boots", metavar="DIR", help="run nothing: report on the boots/ of an earlier run"
    )
    parser.add_argument("--debian-mirror", metavar="URL", help="the Debian archive to use")
    parser.add_argument("words", nargs="*", metavar="-- ARGUMENT", help="arguments for pytest")
    return parser


def _coverage(options: argparse.Namespace) -> int:
    base = Path(os.environ.get("KFUNCTEST_CWD", ""))
    known = report.excuses()
    results = paths.written(options.results, base) if options.results else RESULTS
    results.mkdir(parents=True, exist_ok=True)
    kernel = spec.resolve(KERNEL, mirror=options.debian_mirror, progress=Progress())
    if options.boots:
        boots = paths.written(options.boots, base)
    else:
        boots = Path(tempfile.mkdtemp(prefix="run-", dir=results)) / "boots"
        _run(boots, options.words)
    folder = boots.parent
    lines = report.gather(kernel.image.parent / build.NOTES, boots, folder / "report")
    text = report.table(lines, known)
    (folder / TEXT).write_text(text)
    sys.stdout.write(f"{text}in full: {folder / 'report' / report.HTML}\n")
    return EXIT_MISSING if report.unexcused(lines, known) else EXIT_COVERED


def _run(boots: Path, words: list[str]) -> None:
    """The suite on the kernel that counts. What it thinks of the kernel is for the gate to say."""

    def show(data: bytes) -> None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    ours = ("-p", "kfunctest.coverage.collect", "--gcov", str(boots), *words)
    ended = pytest_suite(_SECONDS, show)(KERNEL, boots.parent, ours, ("selftests",))
    if ended.status not in (0, 1):
        raise InfraError(
            f"the suite ended with status {ended.status}: {ended.said}",
            remedy=f"see {boots.parent}; what was counted: scripts/coverage --from {boots}",
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
