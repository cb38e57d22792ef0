# SPDX-License-Identifier: GPL-2.0-only
"""A matrix and its verdict as text: for a terminal what asks for attention, for a file all of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from kfunctest.gate.baseline import Baseline
from kfunctest.gate.lists import Lists, split
from kfunctest.gate.matrix import Matrix, Row, counts
from kfunctest.gate.verdict import Finding, Standing, Status, Verdict, standing
from kfunctest.reports.sanitize import one_line
from kfunctest.results import Outcome

LETTERS: Final = {
    Outcome.PASSED: ".",
    Outcome.FAILED: "F",
    Outcome.SKIPPED: "-",
    Outcome.XFAILED: "x",
    Outcome.XPASSED: "X",
    Outcome.CRASHED: "C",
    Outcome.HUNG: "H",
    Outcome.INFRA: "I",
}
_WORDS: Final = {Outcome.SKIPPED: "not applicable"}
_AROUND: Final = {Standing.LEFT_OUT: "({})", Standing.KNOWN: "[{}]"}
LEGEND: Final = (
    "; ".join(f"{letter} {_WORDS.get(outcome, outcome)}" for outcome, letter in LETTERS.items())
    + "; nothing: no result; (F) left out by a list; [F] known to the baseline; F>.F repeated"
)
_VERDICTS: Final = {
    Status.PASS: "pass",
    Status.BAD: "the kernel is bad",
    Status.UNJUDGED: "could not judge",
}


@dataclass(frozen=True, slots=True)
class Page:
    """What there is to say: a matrix, what it was judged by, and the verdict."""

    matrix: Matrix
    lists: Mapping[str, Lists]
    baseline: Baseline
    verdict: Verdict

    def standing(self, row: Row, test: str) -> Standing | None:
        """What the result of this test on this kernel means; None where there is none."""
        if (result := row.results.get(test)) is None:
            return None
        return standing(row, result, self.lists.get(row.kernel, Lists()), self.baseline)

    def cell(self, row: Row, test: str) -> str:
        """The result of this test on this kernel: a letter, and the letters of its repetitions beside it."""
        result = row.results.get(test)
        if result is None:
            return ""
        again = "".join(LETTERS[outcome] for outcome in row.repeated(test))
        text = f"{LETTERS[result.outcome]}>{again}" if again else LETTERS[result.outcome]
        where = self.standing(row, test)
        return _AROUND.get(where, "{}").format(text) if where else text

    @property
    def remarkable(self) -> list[str]:
        """The tests that are not as they should be on some kernel, whether that counts or not."""
        return [test for test in self.matrix.tests if any(self._remarkable(row, test) for row in self.matrix.rows)]

    def _remarkable(self, row: Row, test: str) -> bool:
        result = row.results.get(test)
        fine = result is not None and not result.outcome.bad and result.outcome is not Outcome.INFRA
        return not fine and not (result is None and (row.absent or row.bad or not row.judged))


def verdict_line(page: Page) -> str:
    """The one line at the end: the verdict, and how much speaks for it."""
    verdict, rows = page.verdict, page.matrix.rows
    judged = sum(row.judged for row in rows)
    parts = [f"{judged} of {len(rows)} kernels judged"]
    for count, what in (
        (len(verdict.bad), "bad"),
        (len(verdict.unjudged), "unjudged"),
        (len(verdict.known), "known to the baseline"),
    ):
        parts += [f"{count} {what}"] if count else []
    return f"gate: {_VERDICTS[verdict.status]} ({', '.join(parts)})"


def terminal(page: Page) -> str:
    """The kernels, the tests that ask for attention, and the findings; the verdict is the last line."""
    remarkable = page.remarkable
    lines = [*kernels(page.matrix), ""]
    if remarkable:
        lines += [*grid(page, remarkable), "", LEGEND, ""]
    quiet = len(page.matrix.tests) - len(remarkable)
    lines += (
        [f"{quiet} {'other ' if remarkable else ''}tests are as they should be on every kernel", ""] if quiet else []
    )
    return "\n".join([*lines, *findings(page.verdict), verdict_line(page)]) + "\n"


def whole(page: Page) -> str:
    """Everything."""
    lines = [*kernels(page.matrix), "", *grid(page, page.matrix.tests), "", LEGEND, "", *findings(page.verdict)]
    return "\n".join([*lines, verdict_line(page)]) + "\n"


def kernels(matrix: Matrix) -> list[str]:
    """One line a kernel: its number in the grid, what it is, and how its tests ended."""
    width = max((len(row.kernel) for row in matrix.rows), default=0)
    return [f"[{number}] {row.kernel:<{width}}  {of_kernel(row)}" for number, row in enumerate(matrix.rows, 1)]


def of_kernel(row: Row) -> str:
    """What came of a kernel, in a line."""
    if row.absent:
        return "has none of the kfuncs, as kernels.toml says"
    parts = []
    if row.run:
        judged = next((kernel for kernel in row.run.kernels if kernel.id == row.kernel), None)
        parts += [f"{judged.release}, contract {judged.contract}"] if judged else []
        parts += [row.run.accelerator.partition(" ")[0]]
    if found := counts(row.results):
        parts.append(", ".join(f"{count} {_WORDS.get(outcome, outcome)}" for outcome, count in found.items()))
    if row.problem:
        parts.append(f"not judged: {one_line(row.problem)}")
    return "; ".join(filter(None, [row.bad, *parts]))


def grid(page: Page, tests: list[str]) -> Iterator[str]:
    """Kernels across, tests down, by file."""
    cells = {test: [page.cell(row, test) for row in page.matrix.rows] for test in tests}
    heads = [f"[{number}]" for number in range(1, len(page.matrix.rows) + 1)]
    widths = [max([len(head), *(len(row[at]) for row in cells.values())]) for at, head in enumerate(heads)]
    left = max((len(one_line(split(test)[1])) for test in tests), default=0) + 2

    def line(name: str, values: list[str]) -> str:
        columns = (f"{value:^{width}}" for value, width in zip(values, widths, strict=True))
        return f"{name:<{left}}  {' '.join(columns)}".rstrip()

    yield line("", heads)
    for name, group in groupby(tests, lambda test: split(test)[0]):
        yield one_line(name)
        for test in group:
            yield line(f"  {one_line(split(test)[1])}", cells[test])


def findings(verdict: Verdict) -> list[str]:
    """Every finding with its reproduction, the gravest last: a reader of a log starts at its end."""
    lines: list[str] = []
    for title, found in (
        ("notes", verdict.notes),
        ("bad, and known to the baseline", verdict.known),
        ("could not be judged", verdict.unjudged),
        ("bad", verdict.bad),
    ):
        lines += [f"{title}:", *(line for finding in found for line in _finding(finding)), ""] if found else []
    return lines


def _finding(finding: Finding) -> list[str]:
    return [f"  {finding}", *([f"    {finding.reproduce}"] if finding.reproduce else [])]
