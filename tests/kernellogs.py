# SPDX-License-Identifier: GPL-2.0-only
"""Complaints as kernels print them, one of each sort, made up for these tests, in kernellogs.txt beside this file."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_TEXT = Path(__file__).with_suffix(".txt").read_text()
_SECTIONS = dict(section.rstrip("\n").split("\n", 1) for section in _TEXT.removeprefix("### ").split("\n### "))

#: What kernels say without complaining, or about others than themselves.
HARMLESS: Final = _SECTIONS.pop("harmless")
_STACK = _SECTIONS.pop("any stack")
#: By kind, or by kind, comma and variety: one complaint each, from its first line to its last.
COMPLAINTS: Final = {name: text.replace("@STACK@", _STACK) for name, text in _SECTIONS.items()}

RULE: Final = "=" * 66
CUT: Final = "------------[ cut here ]------------"
END: Final = "---[ end trace 0000000000000000 ]---"
