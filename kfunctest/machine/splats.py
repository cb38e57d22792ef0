# SPDX-License-Identifier: GPL-2.0-only
"""A kernel's complaints, told from the rest of its log: which lines begin one, where it ends, and what comes of it.

Only what the kernel itself logged counts; who may write to /dev/kmsg can write anything, but not under its name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from kfunctest.machine.kernel_log import Record
from kfunctest.machine.patterns import (
    ASIDE,
    BY_KIND,
    CUT_HERE,
    MANY_STACKS,
    ONE_STACK,
    PATTERNS,
    REFINED,
    REPORT,
    RULE,
    STACK,
    Ends,
    Pattern,
)
from kfunctest.results import Splat

#: Lines of one complaint that are kept: a lockdep report with all its chains has some hundred.
LONGEST = 250
#: How far below the line of dashes that opens a warning its first line may be: a message of its own stands between.
_PREAMBLE = 4
#: Lines from a complaint's first one to the last one that another CPU may still print when a test has ended.
_SPILLS = 60
_END_TRACE = re.compile(r"^---\[ end trace [0-9a-f ]*\]---")


@dataclass(slots=True)
class _Open:
    """A complaint that is being read; ``pattern`` is None while only its line of dashes or equal signs was seen."""

    lines: list[Record]
    pattern: Pattern | None = None
    first: str = ""
    kind: str = field(default="", init=False)

    def begin(self, pattern: Pattern, line: Record) -> None:
        self.pattern, self.first, self.kind = pattern, line.text, pattern.kind

    def ended_by(self, line: Record) -> bool:
        """Whether ``line``, which belongs to it, is its last one."""
        if self.pattern is None:
            return False
        if _END_TRACE.match(line.text):
            # KASAN may speak within a warning's trace; its own end is a rule.
            return self.pattern.ends is not Ends.RULE
        if self.pattern.ends is Ends.RULE:
            return bool(RULE.match(line.text))
        return (self.pattern.ends is Ends.TASK and line.text.strip() == "</TASK>") or self.pattern.ends is Ends.LINE

    def splat(self) -> Splat:
        text = "\n".join(map(str, self.lines))
        kind = self.kind
        if kind in ("warn", "bug"):
            # The message stands before the first line in some kernels, and behind it in others.
            kind = next((finer for finer, pattern in REFINED if any(pattern.search(s.text) for s in self.lines)), kind)
        return Splat(kind, self.first, text)


def find(log: Iterable[Record], *, amid: bool = False) -> tuple[Splat, ...]:
    """Every complaint in ``log``, in order. ``amid``: the log before it ended amid one, whose stacks may follow."""
    return tuple(_find((record for record in log if record.kernel), _Stacks(explained=amid)))


def ends_amid(log: Iterable[Record], *, amid: bool = False) -> bool:
    """Whether a complaint has begun so late in ``log`` that what is logged next may go on with it.

    ``amid`` is what was so before: as long as the kernel says nothing, it stays.
    """
    said = [record for record in log if record.kernel]
    return bool(find(said[-_SPILLS:], amid=amid)) if said else amid


def _find(log: Iterable[Record], stacks: _Stacks) -> Iterator[Splat]:
    now: _Open | None = None
    for record in log:
        pattern = matching(record.text) or _unknown(record.text, now) or stacks.unexplained(record.text)
        if CUT_HERE.match(record.text) or (RULE.match(record.text) and not (now and now.pattern)):
            yield from _closed(now)
            now = _Open([record])
            continue
        if pattern and not _continues(now, pattern):
            if now is None or now.pattern or len(now.lines) > _PREAMBLE:
                yield from _closed(now)
                now = _Open([])
            now.begin(pattern, record)
            stacks.complained()
        if now is None:
            continue
        now.lines.append(record)
        if now.ended_by(record) or len(now.lines) >= LONGEST or (not now.pattern and len(now.lines) > _PREAMBLE):
            yield from _closed(now)
            now = None
    yield from _closed(now)


def matching(text: str) -> Pattern | None:
    """The pattern of a complaint that begins with this line."""
    return next((pattern for pattern in PATTERNS if pattern.line.search(text)), None)


def _unknown(text: str, now: _Open | None) -> Pattern | None:
    """The pattern of a headline below a line of equal signs, whatever it says."""
    below_rule = now and not now.pattern and now.lines and RULE.match(now.lines[0].text)
    return REPORT if below_rule and REPORT.line.search(text) else None


class _Stacks:
    """Stacks, told by whether a line before them says why they are there. A complaint says so of all that follow."""

    def __init__(self, *, explained: bool) -> None:
        self._explained = explained
        self._next_explained = False

    def unexplained(self, text: str) -> Pattern | None:
        """What is made of a line that no pattern knows."""
        self._next_explained |= bool(ONE_STACK.search(text))
        self._explained |= bool(MANY_STACKS.search(text))
        if self._explained or not STACK.line.search(text):
            return None
        known, self._next_explained = self._next_explained, False
        return None if known else STACK

    def complained(self) -> None:
        """A complaint begins."""
        self._explained = True


def _continues(now: _Open | None, pattern: Pattern) -> bool:
    """Whether a line that could begin a complaint goes on with the one that is open."""
    if now is None or now.pattern is None:
        return False
    return pattern.kind in (*now.pattern.absorbs, *ASIDE)


def _closed(now: _Open | None) -> Iterator[Splat]:
    if now and now.pattern:
        yield now.splat()


def spent_by(splats: Sequence[Splat]) -> str | None:
    """Why the kernel that complained so is no judge of what comes next, or None."""
    return next((f"{splat.kind}: {why}" for splat in splats if (why := BY_KIND[splat.kind].spent)), None)
