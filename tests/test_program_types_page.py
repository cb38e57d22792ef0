# SPDX-License-Identifier: GPL-2.0-only
"""docs/program-types.md and the programs that it names are the same list."""

from __future__ import annotations

import re
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]


def test_every_place_is_a_row_and_every_row_a_place() -> None:
    """In the same order, with the same section: of a section with a target, its beginning."""
    source = (CHECKOUT / "selftests" / "bpf" / "program_types.bpf.c").read_text()
    places = re.findall(r'^place\((\w+), "([^"]+)"\)', source, re.MULTILINE)
    page = (CHECKOUT / "docs" / "program-types.md").read_text()
    rows = re.findall(r"^\| (\w+) \| `([^`]+)` \|", page, re.MULTILINE)
    assert [name for name, _ in rows] == [name for name, _ in places]
    assert [name for name, section in rows if not dict(places)[name].startswith(section)] == []


def test_every_column_is_a_caller() -> None:
    source = (CHECKOUT / "selftests" / "bpf" / "program_types.bpf.c").read_text()
    callers = set(re.findall(r"^caller\((\w+),", source, re.MULTILINE)) - {"everything_but_flush"}
    page = (CHECKOUT / "docs" / "program-types.md").read_text()
    header = re.search(r"^\| program \| section \| type \| needs \| since \| (.*) \|$", page, re.MULTILINE)
    assert header
    assert set(header[1].split(" | ")) == callers
