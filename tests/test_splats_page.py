# SPDX-License-Identifier: GPL-2.0-only
"""docs/splats.md has the kinds that there are."""

from __future__ import annotations

from pathlib import Path

from kfunctest.machine.patterns import BY_KIND

PAGE = Path(__file__).resolve().parents[1] / "docs" / "splats.md"


def test_the_page_lists_every_kind_with_its_reason() -> None:
    """Replace its table by the one that is expected here."""
    rows = [f"| `{kind}` | {BY_KIND[kind].reason} | {BY_KIND[kind].spent} |" for kind in sorted(BY_KIND)]
    assert [line for line in PAGE.read_text().splitlines() if line.startswith("| `")] == rows
