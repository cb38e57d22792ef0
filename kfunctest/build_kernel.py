# SPDX-License-Identifier: GPL-2.0-only
"""The command behind scripts/build-kernel: builds a kernel from source, and prints the line that judges it."""

from __future__ import annotations

import argparse
import shlex
import sys
from dataclasses import dataclass, replace

from kfunctest import contract, shell
from kfunctest.kernels import build, fragments, named, patches, source, spec
from kfunctest.kernels.build import Recipe
from kfunctest.kernels.progress import Progress


@dataclass(frozen=True, slots=True)
class Options:
    """The command line."""

    source: str
    patch: tuple[str, ...]
    flavour: tuple[str, ...]
    contract: str | None
    debian_mirror: str | None
    update: bool


def main(argv: list[str]) -> int:
    """Run the command; returns its exit status."""
    options = shell.parsed(_parser(), argv, Options)

    def work() -> int:
        with shell.resumable("the next run goes on from what is built"):
            judge = _build(options, Progress())
        sys.stdout.write(f"{shlex.join(['scripts/kfunc', '--kernel', judge])}\n")
        return 0

    return shell.run("build-kernel", work)


def _parser() -> argparse.ArgumentParser:
    parser = shell.Parser(
        prog="scripts/build-kernel",
        description="build a kernel for the suite, slim and reproducibly, and cache it",
        epilog="exit status: 0: it is built, and the line on stdout judges it; 3: the machine, a tool or the network "
        "stopped it; 4: what was asked for does not exist or cannot be built; 130: interrupted",
    )
    parser.add_argument(
        "source", metavar="SOURCE", help=f"{source.FORMS}; or a NAME of kernel-config/kernels.toml that has a source"
    )
    parser.add_argument(
        "--patch",
        action="append",
        default=[],
        metavar="PATH",
        help="apply a file, a mailbox, a folder (*.patch, a Maildir, a quilt series), or - for standard input "
        "(repeatable, in order)",
    )
    parser.add_argument(
        "--flavour",
        action="append",
        default=[],
        metavar="NAME",
        help=f"add a fragment of kernel-config (repeatable): {', '.join(fragments.names())}",
    )
    parser.add_argument("--contract", metavar="NAME", help="declare what it is judged by (default: by its BTF)")
    parser.add_argument("--debian-mirror", metavar="URL", help="the archive to fetch a source from")
    parser.add_argument("--update", action="store_true", help="ask that archive anew what its newest source is")
    return parser


def _build(options: Options, progress: Progress) -> str:
    """Build what the options ask for; returns the spec that ``--kernel`` takes for it."""
    base = shell.base()
    if options.contract:
        contract.by_name(options.contract)
    # A source may be a download: what is wrong with the rest is said before.
    fragments.require(options.flavour)
    more = patches.read(options.patch, base)
    entry = None if "/" in options.source else named.find(options.source)
    if entry:
        recipe = spec.recipe(entry, mirror=options.debian_mirror, update=options.update, progress=progress)
    else:
        found = source.resolve(
            options.source, base=base, mirror=options.debian_mirror, update=options.update, progress=progress
        )
        recipe = Recipe(found)
    patches.compare_base(recipe.source, more)
    changed = replace(
        recipe,
        patches=recipe.patches + more,
        flavours=tuple(dict.fromkeys((*recipe.flavours, *options.flavour))),
        contract=options.contract or recipe.contract,
    )
    built = build.build(changed, progress)
    return entry.name if entry and changed == recipe else str(built.folder)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
