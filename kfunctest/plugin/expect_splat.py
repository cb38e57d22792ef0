# SPDX-License-Identifier: GPL-2.0-only
"""``@pytest.mark.expect_splat("warn", match="missing stat item")``: the kernel is to complain, or the test fails."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from kfunctest.machine.patterns import BY_KIND
from kfunctest.results import Splat

MARKER = "expect_splat"
HELP = (
    f"{MARKER}(kind, match=REGEX): the kernel's log must hold a complaint of this kind while the test runs, "
    "with the expression somewhere in its text; without the mark any complaint fails a test"
)


@dataclass(frozen=True, slots=True)
class Expected:
    """The complaints that a test is marked to expect: pairs of a kind and an expression."""

    marks: tuple[tuple[str, re.Pattern[str]], ...]

    def covers(self, splat: Splat) -> bool:
        """Whether the complaint is one of those."""
        return any(_fits(mark, splat) for mark in self.marks)

    def absent(self, seen: Sequence[Splat]) -> list[str]:
        """Those that did not come, in words."""
        missing = [mark for mark in self.marks if not any(_fits(mark, splat) for splat in seen)]
        return [f"{kind} matching {match.pattern!r}" if match.pattern else kind for kind, match in missing]


def _fits(mark: tuple[str, re.Pattern[str]], splat: Splat) -> bool:
    return splat.kind == mark[0] and mark[1].search(splat.text) is not None


def expectations(item: pytest.Item) -> Expected:
    """What the test expects, also by a mark that it gave itself. Raises pytest.UsageError for one that says nothing."""
    return Expected(tuple(_read(item, mark) for mark in item.iter_markers(MARKER)))


def _read(item: pytest.Item, mark: pytest.Mark) -> tuple[str, re.Pattern[str]]:
    wrong = f"{item.nodeid}: {MARKER}{mark.args}"
    if len(mark.args) != 1 or set(mark.kwargs) - {"match"}:
        raise pytest.UsageError(f"{wrong} takes one kind and match=; write @pytest.mark.{HELP.partition(':')[0]}")
    kind = mark.args[0]
    if kind not in BY_KIND:
        raise pytest.UsageError(f"{wrong}: there is no such kind; choose among {', '.join(sorted(BY_KIND))}")
    if kind == "panic":
        raise pytest.UsageError(f"{wrong}: nothing excuses a kernel that dies")
    try:
        return kind, re.compile(mark.kwargs.get("match", ""))
    except re.error as error:
        raise pytest.UsageError(f"{wrong}: {mark.kwargs['match']!r} is no regular expression ({error})") from error
