# SPDX-License-Identifier: GPL-2.0-only
"""docs/faults.md, the table of faults and the tests say the same."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.faults import table

HERE = Path(__file__).resolve().parent


def functions(file: Path) -> set[str]:
    found = [node.name for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef)]
    return {name for name in found if name.startswith("test_")}


def test_the_page_holds_the_table() -> None:
    text = table.PAGE.read_text()
    assert table.rewritten(text) == text, "write it anew: python -m tests.faults.table"


def test_every_test_of_the_suite_is_in_the_table() -> None:
    around = {"test_before", "test_after", "test_run_killed"}
    named = {table.suite_test(fault) for fault in table.FAULTS}
    assert functions(HERE / "suite" / "faulty.py") - around == named


def test_what_the_table_says_beyond_the_suite_is_tested() -> None:
    named = {test for *_, test in table.OTHERS}
    assert named <= functions(HERE / "test_faults.py") | functions(HERE / "test_gate_faults.py")
