# SPDX-License-Identifier: GPL-2.0-only
"""What the commands of this room understand, and how they end."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from kfunctest import contract, shell
from kfunctest.bisect.trials import Selection
from kfunctest.bisect.types import BREAK, TERMS
from kfunctest.errors import SpecError
from kfunctest.kernels import fragments, patches
from kfunctest.kernels.patches import Patch
from kfunctest.shell import positive
from kfunctest.trial.suite import CHECKOUT

#: ``git bisect run`` reads these, and stops at any of 128 and above. (git-bisect(1), "bisect run")
GOOD: Final = 0
BAD: Final = 1
UNTESTABLE: Final = 125
#: What is ours to say.
_OURS: Final = ("--kernel", "--results")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What all commands here understand."""

    tests: tuple[str, ...]
    expression: str | None
    marked: str | None
    flavour: tuple[str, ...]
    contract: str | None
    accel: str
    minutes: int
    patch: tuple[str, ...]

    @property
    def patches(self) -> tuple[Patch, ...]:
        """The patches that are named. Raises SpecError."""
        return patches.read(self.patch, shell.base())


def add_tests(parser: argparse.ArgumentParser) -> None:
    """Declare which tests are run, and on what."""
    parser.add_argument("tests", nargs="*", metavar="TEST", help="files or ids of tests (default: all)")
    parser.add_argument("-k", dest="expression", metavar="EXPR", help="tests whose name fits, as in pytest -k")
    parser.add_argument("-m", dest="marked", metavar="EXPR", help="tests by their markers, as in pytest -m")
    parser.add_argument(
        "--flavour",
        action="append",
        default=[],
        metavar="NAME",
        help=f"add a fragment of kernel-config (repeatable): {', '.join(fragments.names())}",
    )
    parser.add_argument("--contract", metavar="NAME", help="declare what is judged by (default: by each kernel's BTF)")
    parser.add_argument("--accel", choices=("auto", "kvm", "tcg"), default="auto", help="the accelerator")
    parser.add_argument(
        "--minutes",
        type=positive,
        default=180,
        metavar="N",
        help="what one run of the tests may take (default: 180)",
    )


def add_patch(parser: argparse.ArgumentParser, what: str = "apply this to each commit") -> None:
    """Declare patches, and what is done with them."""
    parser.add_argument(
        "--patch",
        action="append",
        default=[],
        metavar="PATH",
        help=f"{what}: a file, a directory, a mailbox, or - for standard input (repeatable, in order)",
    )


def add_find(parser: argparse.ArgumentParser) -> None:
    """Declare what is looked for."""
    parser.add_argument(
        "--find",
        choices=tuple(TERMS),
        default=BREAK.find,
        help="the commit that broke it (default), or the one that fixed it",
    )


def tests(options: Options, words: Sequence[str]) -> Selection:
    """Which tests are asked for; ``words`` stood behind a ``--``. Raises SpecError."""
    if options.contract:
        contract.by_name(options.contract)
    for word in words:
        if word.partition("=")[0] in _OURS:
            raise SpecError(f"{word} is not for you to say here", remedy="leave it out")
    chosen = [*(("-k", options.expression) if options.expression else ())]
    chosen += [*(("-m", f"kfunc and ({options.marked})") if options.marked else ())]
    accel = () if options.accel == "auto" else ("--accel", options.accel)
    return Selection(tuple(map(_test, options.tests)) or ("selftests",), (*chosen, *accel, *words))


def _test(text: str) -> str:
    """A test as pytest takes it from the checkout: seen from where the user is, or from there."""
    file, colons, name = text.partition("::")
    seen = shell.base() / file
    path = seen if seen.exists() else CHECKOUT / file
    if not path.exists():
        raise SpecError(f"there is no test {text}", remedy="name a file of selftests/, or FILE::TEST")
    return f"{path.resolve().relative_to(CHECKOUT)}{colons}{name}" if path.resolve().is_relative_to(CHECKOUT) else text
