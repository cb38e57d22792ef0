# SPDX-License-Identifier: GPL-2.0-only
"""``python -m kfunctest.plugin ARGUMENT ...``: pytest on the suite alone. It is what scripts/kfunc runs.

Settings and plugin are named outright: pytest takes the folder of a ``--kernel PATH`` for one of tests, and would look
there for them. All tests that judge a kernel are in selftests/; to look for some in tests/ takes seconds.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import pytest

SUITE = ("-c", "pyproject.toml", "-p", "kfunctest.plugin.hooks", "-o", "testpaths=selftests", "-m", "kfunc")
#: Shows pytest's own help, which has some 480 lines.
PYTEST_HELP = "--pytest-help"
#: Columns of our page, whatever the terminal has.
WIDTH = 100

DESCRIPTION = """\
Boot a kernel in a VM, and test what its memcg BPF kfuncs return and what its verifier rejects.
TEST is a file, or a test as pytest prints it; without one the whole suite is run.
"""
EPILOG = f"""\
Of pytest's arguments the most useful here:
  -k EXPRESSION         only tests with these words in their names
  -m EXPRESSION         only tests with these markers: -m "not slow_boot" (the quick suite)
  -n NUMBER             so many VMs at a time; auto: as many as this machine holds
  -x, --maxfail NUMBER  end after the first failure, or after so many
  --collect-only -q     list the tests
  {PYTEST_HELP}         show all of pytest's options

Examples:
  scripts/kfunc                                  the newest kernel of the Debian archive
  scripts/kfunc --kernel ~/linux                 the kernel that was built in a tree
  scripts/kfunc --kernel 7.2-slim -k verifier    a kernel of kernels.toml, built where it is not
  scripts/kfunc -n 2 --kernel debian --kernel debian:7.2    two kernels, two VMs at a time
  scripts/kfunc --target ssh:root@HOST           the kernel that another machine runs

Exit status: 0: the kernel passed; 1: it is bad; 2: interrupted; 3: the machine, a tool or the
network is at fault, or something is untested; 4: the request cannot be met; 5: no test selected.
"""


def main(arguments: Sequence[str]) -> int:
    """Run the suite, or show a page; returns the exit status."""
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    if not {"-h", "--help"}.isdisjoint(options):
        sys.stdout.write(page())
        return 0
    return int(pytest.main([*SUITE, *("--help" if word == PYTEST_HELP else word for word in arguments)]))


def page() -> str:
    """What ``--help`` shows: our options as pytest gets them."""
    from kfunctest.plugin import hooks

    declared = _Declared()
    hooks.pytest_addoption(cast("pytest.Parser", declared), cast("pytest.PytestPluginManager", declared))
    for part in declared.parts:
        part.pytest_addoption(declared)
    return declared.parser.format_help()


class _Declared:
    """Stands in for pytest's parser and plugin manager, as far as the hooks that declare our options use them."""

    def __init__(self) -> None:
        formatter = partial(argparse.RawDescriptionHelpFormatter, width=WIDTH, max_help_position=24)
        self.parser = argparse.ArgumentParser(
            prog="scripts/kfunc",
            usage="scripts/kfunc [OPTION ...] [TEST ...]",
            description=DESCRIPTION,
            epilog=EPILOG,
            formatter_class=formatter,
            add_help=False,
        )
        self.extra_info: dict[str, str] = {}
        #: Parts of the plugin that declare options of their own.
        self.parts: list[Any] = []
        self.addoption = self.parser.add_argument_group("options").add_argument

    def getgroup(self, _name: str, _description: str = "") -> _Declared:
        """All our options are in one group."""
        return self

    def register(self, part: Any) -> None:
        """As the plugin manager is told of a part of the plugin."""
        if hasattr(part, "pytest_addoption"):
            self.parts.append(part)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
