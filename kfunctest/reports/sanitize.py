# SPDX-License-Identifier: GPL-2.0-only
"""Text of any origin (a console, an exception) made fit for XML, HTML, JSON and terminals, with nothing hidden."""

from __future__ import annotations

import re

#: How much of one text is in a report, from its end; the whole is in results.jsonl beside it.
MOST = 200_000
#: C0 controls are shown as the pictures that Unicode has for them (U+2400 and up).
_PICTURES = {code: 0x2400 + code for code in range(0x20) if code not in (0x09, 0x0A)} | {0x7F: 0x2421}
#: What XML 1.0 (2.2, Char) or UTF-8 cannot carry, and C1 controls, which a terminal obeys.
_UNFIT = re.compile("[\x80-\x9f\ud800-\udfff\ufffe\uffff]")


def printable(text: str) -> str:
    """The text with every control byte, lone surrogate and non-character shown instead of sent; lines end in LF."""
    return _UNFIT.sub(_escaped, text.replace("\r\n", "\n").translate(_PICTURES))


def one_line(text: str, most: int = 300) -> str:
    """The text in one line of at most ``most`` characters."""
    line = " ".join(printable(text).split())
    return line if len(line) <= most else f"{line[: most - 3]}..."


def first_line(text: str) -> str:
    """The first line of the text that says something; empty where none does."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def tail(text: str, most: int) -> str:
    """The last ``most`` characters of the text, from the beginning of a line on where there is one."""
    if len(text) <= most:
        return text
    cut = text[-most:]
    return cut.partition("\n")[2] or cut


def bounded(text: str) -> str:
    """The text, printable, or its last MOST characters and how many were left out."""
    left_out = len(text) - MOST
    note = f"[the first {left_out} characters are in results.jsonl]\n" if left_out > 0 else ""
    return note + printable(tail(text, MOST))


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
