# SPDX-License-Identifier: GPL-2.0-only
"""No script or subcommand without a run of its own: a real one in tests/smoke, one on fakes in the host tests."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from kfunctest.bench import __main__ as bench
from kfunctest.bisect.__main__ import SUBCOMMANDS
from tests.smoke.commands import COMMANDS

TESTS = Path(__file__).resolve().parent
SCRIPTS = TESTS.parent / "scripts"


def test_every_subcommand_of_every_script_has_a_run() -> None:
    (figures,) = [action for action in bench._parser()._actions if isinstance(action.choices, dict)]
    scripts = {path.name for path in SCRIPTS.iterdir()}
    expected = scripts - {"bench"} | {f"bench {figure}" for figure in figures.choices or ()}
    expected |= {f"bisect {name}" for name in SUBCOMMANDS if name not in scripts}
    assert COMMANDS.keys() == expected


@pytest.mark.parametrize("name", COMMANDS)
def test_it_runs_on_fakes_among_the_hosts_tests(name: str) -> None:
    file, _, function = COMMANDS[name].fakes.partition("::")
    functions = {node.name for node in ast.parse((TESTS / file).read_text()).body if isinstance(node, ast.FunctionDef)}
    assert function in functions
