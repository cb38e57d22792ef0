# SPDX-License-Identifier: GPL-2.0-only
"""From a matrix, its lists and a baseline to one verdict. Nothing here looks at a machine."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from functools import partial

from kfunctest.gate.baseline import Baseline
from kfunctest.gate.lists import Entry, Lists
from kfunctest.gate.matrix import Matrix, Row
from kfunctest.reports.sanitize import one_line
from kfunctest.results import Outcome, Result, Untested
from kfunctest.trial.reading import unexpected_between


class Status(IntEnum):
    """The gate's exit status."""

    PASS = 0
    BAD = 1
    UNJUDGED = 2


class Standing(StrEnum):
    """What an outcome means for the verdict."""

    #: As it should be, or not applicable.
    GOOD = "good"
    #: It speaks against the kernel.
    BAD = "bad"
    #: It is bad, and was so in the baseline.
    KNOWN = "known"
    #: It does not count, by the denylist or because the allowlist leaves it out.
    LEFT_OUT = "left out"
    #: Nothing was learned.
    UNJUDGED = "unjudged"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the verdict. ``test`` is empty where it is about the kernel, both where about the whole matrix."""

    kernel: str
    test: str
    text: str
    reproduce: str = ""

    def __str__(self) -> str:
        return " ".join(
            filter(None, (self.kernel and f"{self.kernel}:", self.test and f"{one_line(self.test)}:", self.text))
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """``bad`` speaks against a kernel, ``unjudged`` is what the gate could not find out, ``notes`` decide nothing."""

    bad: tuple[Finding, ...] = ()
    unjudged: tuple[Finding, ...] = ()
    known: tuple[Finding, ...] = ()
    notes: tuple[Finding, ...] = ()

    @property
    def status(self) -> Status:
        """Bad goes before unjudged: what was found stays found."""
        return Status.BAD if self.bad else Status.UNJUDGED if self.unjudged else Status.PASS


def standing(row: Row, result: Result, lists: Lists, baseline: Baseline) -> Standing:
    """What one result means."""
    if not lists.counts(result.test):
        return Standing.LEFT_OUT
    if result.outcome is Outcome.INFRA:
        return Standing.UNJUDGED
    if not result.outcome.bad:
        return Standing.GOOD
    return Standing.KNOWN if baseline.knows(row.kernel, result) else Standing.BAD


def judge(matrix: Matrix, lists: Mapping[str, Lists], baseline: Baseline, accepted: Collection[str] = ()) -> Verdict:
    """The verdict on all kernels. ``lists`` has those of each kernel by name, ``accepted`` what need not be tested."""
    bad: list[Finding] = []
    unjudged: list[Finding] = []
    known: list[Finding] = []
    notes: list[Finding] = []
    for row in matrix.rows:
        own = lists.get(row.kernel, Lists())
        _of_kernel(row, baseline, bad, unjudged, known)
        for result in row.results.values():
            finding = Finding(row.kernel, result.test, _text(row, result), result.reproduce)
            match standing(row, result, own, baseline):
                case Standing.BAD:
                    bad.append(finding)
                case Standing.KNOWN:
                    known.append(finding)
                case Standing.UNJUDGED:
                    unjudged.append(finding)
                case _:
                    pass
        for one in row.untested:
            accept = one.accepted or one.name in accepted
            (notes if accept else unjudged).append(Finding(row.kernel, "", _untested(one, accept=accept)))
        notes += _of_lists(row, own, matrix)
        unjudged += _without_what_counts(row, own, matrix)
        notes += [Finding(row.kernel, "", f"a repetition came to nothing: {why}") for why in row.lost]
        notes += [Finding(row.kernel, test, "was judged in the baseline, is not now") for test in baseline.gone(row)]
    if not matrix.rows:
        unjudged.append(Finding("", "", "no kernel was to be judged"))
    (unjudged if matrix.complete else notes).extend(_applied_nowhere(matrix))
    return Verdict(tuple(bad), tuple(unjudged), tuple(known), tuple(notes))


def _of_kernel(row: Row, baseline: Baseline, bad: list[Finding], unjudged: list[Finding], known: list[Finding]) -> None:
    """What is to say of a kernel beside its tests."""
    about = partial(Finding, row.kernel, "")
    if row.bad:
        (known if baseline.knows_kernel(row.kernel, row.bad) else bad).append(about(row.bad))
    if row.problem:
        unjudged.append(about(f"not judged: {one_line(row.problem)}"))
    for splat in unexpected_between(row.run) if row.run else ():
        (known if baseline.knows_splat(row.kernel, splat) else bad).append(about(f"between tests: {splat}"))


def _untested(one: Untested, *, accept: bool) -> str:
    """What no test covers, and how to accept that."""
    how = "accepted" if accept else f"accept that with --accept-kfunc {one.name}"
    return f"no test covers its {one.kind} {one.name} ({how})"


def _text(row: Row, result: Result) -> str:
    """How a test ended, and what its repetitions came to."""
    line = one_line(result.message)
    text = f"{result.outcome}: {line}" if line else str(result.outcome)
    again = row.repeated(result.test)
    return f"{text} ({len(again)} x again: {', '.join(again)})" if again else text


def _of_lists(row: Row, lists: Lists, matrix: Matrix) -> list[Finding]:
    """What the lists' lines came to: a pass that was not expected, a line that means nothing."""
    notes = []
    for result in row.results.values():
        entry = lists.denied(result.test)
        if entry and result.outcome is Outcome.PASSED:
            text = f"passes, and {entry.where} denies it ({entry.cause}): take the line out"
            notes.append(Finding(row.kernel, result.test, text))
        elif entry and (result.outcome.bad or result.outcome is Outcome.INFRA):
            text = f"{result.outcome}, denied by {entry.where} ({entry.cause})"
            notes.append(Finding(row.kernel, result.test, text, result.reproduce))
    if row.judged and not row.absent:
        what = "there is no test" if matrix.all_tests else "of the tests that were chosen none is"
        notes += [
            Finding(row.kernel, "", f"{entry.where}: {what} {entry.pattern}")
            for entry in _idle(row, lists.deny, matrix)
        ]
    return notes


def _idle(row: Row, entries: tuple[Entry, ...], matrix: Matrix) -> list[Entry]:
    """Those that cover no test of this kernel; nor of another one, where they stand in a list for all of them."""
    return [
        entry
        for entry in entries
        if not any(entry.covers(test) for test in (matrix.tests if entry.common else row.results))
    ]


def _without_what_counts(row: Row, lists: Lists, matrix: Matrix) -> list[Finding]:
    """An allowlist that leaves nothing to rest a verdict on, or names what there is not, would make an empty pass."""
    if row.problem or row.bad or row.absent:
        return []
    found = [
        Finding(row.kernel, "", f"{entry.where}: there is no result for {entry.pattern}")
        for entry in _idle(row, lists.allow, matrix)
    ]
    if not any(result.outcome.judged and lists.counts(result.test) for result in row.results.values()):
        found.append(Finding(row.kernel, "", "the lists leave no test that was put to this kernel"))
    return found


def _applied_nowhere(matrix: Matrix) -> list[Finding]:
    """Tests that have judged nothing. Where a kernel was not judged they might have been for that one: it is said."""
    applied = {
        test for row in matrix.rows for test, found in row.results.items() if found.outcome is not Outcome.SKIPPED
    }
    return [Finding("", test, "applied to no kernel") for test in matrix.tests if test not in applied]
