# SPDX-License-Identifier: GPL-2.0-only
"""What stands in an annotation of a BPF file: numbers, flags, errnos, and texts with regular expressions in them.

All raise SpecError, which names the program, where a value cannot be read.
"""

from __future__ import annotations

import errno as posix
import re

from kfunctest.errors import SpecError

#: enum values of include/uapi/linux/bpf.h, as test_loader.c takes them by name.
_FLAGS = {
    "BPF_F_STRICT_ALIGNMENT": 1 << 0,
    "BPF_F_ANY_ALIGNMENT": 1 << 1,
    "BPF_F_TEST_RND_HI32": 1 << 2,
    "BPF_F_TEST_STATE_FREQ": 1 << 3,
    "BPF_F_SLEEPABLE": 1 << 4,
    "BPF_F_XDP_HAS_FRAGS": 1 << 5,
    "BPF_F_TEST_REG_INVARIANTS": 1 << 7,
}
#: POSIX's character classes, which Python's regular expressions lack.
_CLASSES = {"[:digit:]": "0-9", "[:xdigit:]": "0-9a-fA-F", "[:alpha:]": "a-zA-Z", "[:alnum:]": "a-zA-Z0-9"} | {
    "[:space:]": r"\s"
}


def with_flag(function: str, flags: int, value: str) -> int:
    """``flags`` with another one, by name or as a number, or with ``!`` without it."""
    name = value.removeprefix("!")
    flag = _FLAGS[name] if name in _FLAGS else number(function, name)
    return flags & ~flag if value.startswith("!") else flags | flag


def number(function: str, text: str) -> int:
    """A C literal. Results are signed 32-bit numbers."""
    if text in ("INT_MIN", "_INT_MIN"):
        return -(1 << 31)
    try:
        return int(text.strip("() ").rstrip("uUlL"), 0)
    except ValueError:
        raise SpecError(f"{function}: the annotation's value {text!r} is no number", remedy="write it out") from None


def errno(function: str, name: str) -> int:
    """The number of an errno by its name."""
    found = getattr(posix, name, None)
    if not isinstance(found, int):
        raise SpecError(f"{function}: the annotation's value {name!r} is no errno", remedy="name one of errno(3)")
    return found


def pattern(function: str, text: str) -> re.Pattern[str]:
    """``text`` is taken as it is, apart from extended regular expressions in double braces."""
    parts = re.split(r"\{\{(.*?)\}\}", text)
    if any("{{" in verbatim for verbatim in parts[::2]):
        raise SpecError(f"{function}: {text!r} opens {{{{ and does not close it", remedy="close it with }}")
    expression = ""
    for place, part in enumerate(parts):
        regular = part
        for theirs, ours in _CLASSES.items():
            regular = regular.replace(theirs, ours)
        expression += f"(?:{regular})" if place % 2 else re.escape(part)
    try:
        return re.compile(expression, re.MULTILINE)
    except re.error as error:
        raise SpecError(f"{function}: {text!r} holds a bad regular expression: {error}", remedy="mend it") from None
