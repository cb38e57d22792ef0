# SPDX-License-Identifier: GPL-2.0-only
"""Whether two revisions can be bisected, asked of git before anything is built."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Sequence
from pathlib import Path

from kfunctest.bisect.git_bisect import History
from kfunctest.bisect.types import BREAK, Terms
from kfunctest.errors import SpecError


def merge_bases(tree: Path, good: str, bad: str, terms: Terms) -> tuple[str, ...]:
    """The commits from which to bisect where the older revision is no ancestor of the newer one; else none.

    As git does, for what came of the older revision since they parted says nothing of the newer one. (bisect.c,
    check_merge_bases) Raises SpecError where these revisions enclose nothing, are the wrong way round, or where a
    shallow clone lacks some of what they enclose: the commit that is looked for might be among these.
    """
    old, new = terms.in_order(good, bad)
    with tempfile.TemporaryDirectory(prefix="kfunctest-ancestry-") as scratch:
        history = History(tree, Path(scratch))
        if old == new:
            raise SpecError(f"--good and --bad are the same commit {history.short(old)}", remedy="name two commits")
        bases = history.merge_bases(old, new)
        if bases == (new,):
            raise _swapped(history, good, bad, terms)
        if not bases:
            why = f"{history.short(good)} and {history.short(bad)} have no commit in common"
            if history.shallow:
                raise SpecError(f"{why} in the shallow clone {tree}", remedy=_deepen(tree))
            raise SpecError(why, remedy="name two commits of one history")
        _require_whole(tree, history, new, bases)
    return () if bases == (old,) else bases


def _swapped(history: History, good: str, bad: str, terms: Terms) -> SpecError:
    named = {good: f"--good {history.short(good)}", bad: f"--bad {history.short(bad)}"}
    old, new = terms.in_order(good, bad)
    return SpecError(
        f"{named[new]} is an ancestor of {named[old]}, and must be the newer one of the two",
        remedy="to find what fixed it, add --find fix; else swap the two"
        if terms is BREAK
        else "to find what broke it, leave --find fix out; else swap the two",
    )


def _require_whole(tree: Path, history: History, new: str, bases: Sequence[str]) -> None:
    if cut := history.cut(new, bases):
        raise SpecError(
            f"the shallow clone {tree} lacks the parents of {history.short(cut)}, and with them commits between "
            "--good and --bad: the commit that you look for may be among them",
            remedy=_deepen(tree),
        )


def _deepen(tree: Path) -> str:
    return f"{shlex.join(['git', '-C', str(tree), 'fetch', '--unshallow'])} (or --shallow-since=DATE)"
