# SPDX-License-Identifier: GPL-2.0-only
"""The command behind scripts/gate."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from kfunctest import shell
from kfunctest.errors import SpecError
from kfunctest.gate import baseline, command, lists, record
from kfunctest.kernels import named, user_paths
from kfunctest.shell import count, positive


@dataclass(frozen=True, slots=True)
class Options:
    """The command line."""

    names: tuple[str, ...]
    baseline: str | None
    repeat: int
    merge: tuple[str, ...] | None
    accept_kfunc: tuple[str, ...]
    minutes: int
    results: str | None
    fresh: bool
    debian_mirror: str | None


def main(argv: list[str]) -> int:
    """Run the command; returns its exit status. Whatever stops it, that is never a kernel's fault, so never 1."""
    ours, words = shell.split(argv)
    options = shell.parsed(_parser(), ours, Options)
    return shell.run("gate", lambda: _gate(options, argv, words))


def _parser() -> argparse.ArgumentParser:
    parser = shell.Parser(
        prog="scripts/gate",
        description="judge the kernels of kernel-config/kernels.toml, and give one verdict",
        epilog="What stands behind a -- goes to pytest: -- -n 2 -k usage. "
        "Exit status: 0: pass; 1: a kernel is bad; 2: the gate could not judge; 130: interrupted",
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="names of kernel-config/kernels.toml, and nothing else (default: all but those with gate = false)",
    )
    parser.add_argument("--baseline", metavar="FILE", help=f"an earlier {record.NAME}: what was bad then is no news")
    parser.add_argument(
        "--repeat",
        type=count,
        default=0,
        metavar="N",
        help="run tests that ended badly N more times (default: 0)",
    )
    parser.add_argument(
        "--merge",
        action="append",
        metavar="PATH",
        help=f"run nothing: give one verdict on an earlier {record.NAME}, or all below a folder (repeatable)",
    )
    parser.add_argument(
        "--accept-kfunc",
        action="append",
        default=[],
        metavar="NAME",
        help="accept that no test covers this kfunc or enumerator (repeatable)",
    )
    parser.add_argument(
        "--minutes",
        type=positive,
        default=180,
        metavar="N",
        help="what one kernel's tests may take (default: 180)",
    )
    parser.add_argument("--results", metavar="DIR", help="where all is kept (default: results/ below the checkout)")
    parser.add_argument("--fresh", action="store_true", help="start over, even if the same gate was left unfinished")
    parser.add_argument("--debian-mirror", metavar="URL", help="the Debian archive to use")
    return parser


def _gate(options: Options, argv: Sequence[str], words: Sequence[str]) -> int:
    base = shell.base()
    entries = named.load()
    lists.check_names(list(entries))
    chosen = [entries[name] for name in options.names if name in entries]
    if unknown := [name for name in options.names if name not in entries]:
        raise SpecError(
            f"kernel-config/kernels.toml has no kernel {unknown[0]!r}",
            remedy=f"the gate judges only what is named there ({', '.join(entries)}); add it, or "
            f"judge it alone: scripts/kfunc --kernel {unknown[0]}",
        )
    asked = command.Asked(
        entries=tuple(dict.fromkeys(chosen)) or tuple(entry for entry in entries.values() if entry.gate),
        whole=not options.names,
        argv=tuple(argv),
        words=command.checked(words),
        accepted=options.accept_kfunc,
        fresh=options.fresh,
        repeat=options.repeat,
        seconds=60.0 * options.minutes,
        mirror=options.debian_mirror,
        results=user_paths.written(options.results, base) if options.results else command.RESULTS,
    )
    known = baseline.Baseline()
    if options.baseline:
        known = baseline.of(record.read(user_paths.written(options.baseline, base)))
    merged = record.read_all(user_paths.written(path, base) for path in options.merge) if options.merge else None
    return command.run(asked, known, merged)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
