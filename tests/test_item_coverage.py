# SPDX-License-Identifier: GPL-2.0-only
"""selftests/item_coverage.py is true of the tests that it names."""

from __future__ import annotations

import ast
import re
import runpy
from pathlib import Path

import pytest

from kfunctest.statitems import SINCE, UNPRINTED_EVENTS, UNPRINTED_STATES
from kfunctest.statkeys import PAGE_STATE, VM_EVENTS

SELFTESTS = Path(__file__).resolve().parents[1] / "selftests"
#: The table, read as a file: what judges a kernel and what judges this project know nothing of each other.
TABLE = runpy.run_path(str(SELFTESTS / "item_coverage.py"))
MOVED, UNMOVED = TABLE["MOVED"], TABLE["UNMOVED"]
#: Items whose names a test puts together from their parts.
PARTS = ("ANON", "FILE", "DIRECT", "PROACTIVE", "SCAN", "STEAL", "REFAULT", "ACTIVATE", "RESTORE", "ACTIVE", "INACTIVE")


@pytest.mark.parametrize("item", MOVED)
def test_the_test_that_moves_an_item_names_it(item: str) -> None:
    file, _, name = MOVED[item].partition("::")
    source = (SELFTESTS / f"{file}.py").read_text()
    tests = {node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}
    assert name in tests, f"{item}: there is no {MOVED[item]}"
    whole = re.search(rf"\b{item}\b", source)
    parts = [item] if whole else [part for part in item.split("_") if part in PARTS]
    missing = [part for part in parts if not re.search(rf"(?<![A-Z]){part}(?![A-Z])", source)]
    assert parts, f"{item}: {file}.py does not name it"
    assert not missing, f"{item}: {file}.py does not name {missing} of it"


def test_an_item_is_moved_or_not() -> None:
    assert not MOVED.keys() & UNMOVED.keys(), f"both moved and not: {sorted(MOVED.keys() & UNMOVED.keys())}"


def test_every_item_that_the_tables_know_is_named_and_no_other() -> None:
    known = {*PAGE_STATE.values(), *VM_EVENTS.values(), *UNPRINTED_STATES, *UNPRINTED_EVENTS, *SINCE, "MEMCG_VMALLOC"}
    named = MOVED.keys() | UNMOVED.keys()
    assert named == known, f"too many: {sorted(named - known)}; missing: {sorted(known - named)}"
