# SPDX-License-Identifier: GPL-2.0-only
"""The command behind scripts/coverage."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kfunctest import files, shell
from kfunctest.coverage import lines, reasons, report
from kfunctest.errors import InfraError, SpecError
from kfunctest.kernels import build, spec, user_paths
from kfunctest.kernels.model import Kernel
from kfunctest.kernels.progress import Progress
from kfunctest.plugin import header
from kfunctest.trial.suite import CHECKOUT, pytest_suite
from kfunctest.trial.trials import Image, Trials

#: Of kernels.toml.
KERNEL: Final = "7.2-coverage"
RESULTS: Final = CHECKOUT / "results" / "coverage"
BOOTS: Final = "boots"
TEXT: Final = "coverage.txt"
#: Folders of runs that are kept.
KEPT: Final = 5
EXIT_COVERED, EXIT_MISSING, EXIT_UNJUDGED = 0, 1, 2
_SECONDS: Final = 3 * 3600.0


@dataclass(frozen=True, slots=True)
class Options:
    """The command line."""

    results: str | None
    run: str | None
    debian_mirror: str | None
    words: tuple[str, ...]


def main(argv: list[str]) -> int:
    """Run the command; returns its exit status. Whatever stops it is no missing line, so never 1."""
    options = shell.parsed(_parser(), argv, Options)
    return shell.run("coverage", lambda: _coverage(options))


def _parser() -> argparse.ArgumentParser:
    parser = shell.Parser(
        prog="scripts/coverage",
        usage="%(prog)s [-h] [--results DIR] [--from DIR] [--debian-mirror URL] [-- ARGUMENT ...]",
        description=f"run the suite on {KERNEL}, and tell which lines and branches of the kfuncs it reaches: "
        "docs/coverage.md",
        epilog=f"What stands behind a -- goes to pytest. Exit status: 0: all of {lines.WHOLE}, and what it rests on in "
        f"{lines.BELOW}, is reached, but for what {reasons.FILE.name} gives a reason for; 1: something is not, or a "
        "reason is not true; 2: it could not be counted; 4: the request cannot be met; 130: interrupted",
    )
    parser.add_argument("--results", metavar="DIR", help="where all is kept (default: results/coverage)")
    parser.add_argument(
        "--from", dest="run", metavar="DIR", help="run nothing: report on this folder of an earlier run"
    )
    parser.add_argument("--debian-mirror", metavar="URL", help="the Debian archive to use")
    parser.add_argument("words", nargs="*", metavar="ARGUMENT", help="arguments for pytest")
    return parser


def _coverage(options: Options) -> int:
    base = shell.base()
    known = reasons.read()
    if options.run and options.words:
        raise SpecError("--from runs nothing, so that pytest gets no arguments", remedy="leave one of the two out")
    folder = user_paths.written(options.run, base) if options.run else _new(options, base)
    kernel = spec.resolve(KERNEL, mirror=options.debian_mirror, progress=Progress())
    if not options.run:
        _run(kernel, folder, [*header.accepting(kernel), *options.words])
    found = report.gather(kernel.image.resolve().parent / build.NOTES, folder / BOOTS, folder / "report")
    if gone := lines.absent(found):
        raise InfraError(f"{KERNEL} counts nothing of {', '.join(gone)}", remedy="correct kfunctest/coverage/lines.py")
    wrong = list(reasons.wrong(found, known))
    text = report.table(found, known) + "".join(f"{one}\n" for one in wrong)
    files.write(folder / TEXT, text)
    sys.stdout.write(f"{text}line by line: {folder / 'report' / report.HTML}\n")
    return EXIT_MISSING if wrong else EXIT_COVERED


def _new(options: Options, base: Path) -> Path:
    """A folder for this run, in place of the oldest one."""
    results = user_paths.written(options.results, base) if options.results else RESULTS
    results.mkdir(parents=True, exist_ok=True)
    earlier = sorted(results.glob("run-*"), key=lambda run: run.stat().st_mtime_ns)
    for run in earlier[: max(len(earlier) + 1 - KEPT, 0)]:
        shutil.rmtree(run, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix="run-", dir=results))


def _run(kernel: Kernel, folder: Path, words: list[str]) -> None:
    """The suite on the kernel that counts. What it thinks of the kernel is for the gate to say."""

    def show(data: bytes) -> None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    ours = ("-p", "kfunctest.coverage.collect", "--gcov", str(folder / BOOTS), *words)
    trials = Trials(pytest_suite(_SECONDS, show), folder.parent)
    ran = trials.run(Image(KERNEL, KERNEL, kernel.image_digest), folder.name, ours)
    if ran.fault or ran.status not in (0, 1):
        raise InfraError(
            f"the suite did not run as a whole: {ran.problem or f'pytest ended with status {ran.status}'}",
            remedy=f"see {folder}; what was counted until then: scripts/coverage --from {folder}",
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
