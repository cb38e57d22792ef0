# SPDX-License-Identifier: GPL-2.0-only
"""One page that needs nothing beside it: every test with its log, splats, verifier output and the line that repeats it.

All text is escaped by the template's engine, and a policy in the page names its one script and one style by their
digests: nothing else runs, whatever a console says.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from kfunctest.reports import cases
from kfunctest.reports.sanitize import bounded, one_line, printable
from kfunctest.results import JudgedKernel, Outcome, Result, Run

HERE = Path(__file__).parent
#: What comes first and is shown open.
WORST = (Outcome.CRASHED, Outcome.HUNG, Outcome.FAILED, Outcome.XPASSED, Outcome.INFRA)
#: So many rows are open at most: a page of a hundred open logs helps nobody.
OPEN = 5


@dataclass(frozen=True, slots=True)
class Row:
    """A test as the page shows it: all texts printable."""

    id: str
    test: str
    kernel: str
    outcome: str
    seconds: float
    message: str
    parts: tuple[tuple[str, str], ...]
    #: The file beside the page that holds the whole console, as its name is shown and as it stands in a link.
    console: tuple[str, str]
    open: bool


@dataclass(frozen=True, slots=True)
class Table:
    """What tests recorded, as the page shows it: all texts printable."""

    title: str
    kernel: str
    names: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]


def render(run: Run) -> str:
    """The run as one HTML page."""
    kernels = [(kernel, cases.facts_of(kernel)) for kernel, _ in cases.by_kernel(run)]
    found = sorted(cases.of_run(run), key=_rank)
    rows = [_row(number, row) for number, row in enumerate(found)]
    style, script = (HERE / "report.css").read_text(), (HERE / "report.js").read_text()
    bad = any(row.outcome.bad for row in found)
    # Jinja escapes by the template's name, of which the last part is .j2 here.
    engine = Environment(loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return engine.get_template("report.html.j2").render(
        title=printable(", ".join(f"{kernel.id} by {kernel.contract or 'no contract'}" for kernel, _ in kernels)),
        verdict=_verdict(run, found),
        bad=bad,
        counts=[(str(outcome), count) for outcome in Outcome if (count := _count(found, outcome))],
        facts=cases.facts(run),
        kernels=kernels,
        several=len(kernels) > 1,
        tables=list(_tables(found)),
        matrix=list(_matrix(rows, [kernel for kernel, _ in kernels])) if len(kernels) > 1 else [],
        rows=rows,
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
    )


def _tables(found: Iterable[Result]) -> Iterator[Table]:
    """What tests recorded of the kernels: a row for each test, a table for all that recorded the same names."""
    tables: dict[tuple[str, str, tuple[str, ...]], list[tuple[str, tuple[str, ...]]]] = {}
    for row in found:
        if row.properties:
            function, _, parameter = row.test.rpartition("::")[2].partition("[")
            names, values = zip(*row.properties, strict=True)
            rows = tables.setdefault((row.kernel, function, names), [])
            rows.append((printable(parameter.removesuffix("]")), tuple(map(printable, values))))
    for (kernel, function, names), rows in tables.items():
        title = printable(function.removeprefix("test_").replace("_", " "))
        yield Table(title, printable(kernel), tuple(map(printable, names)), tuple(rows))


def _verdict(run: Run, rows: Iterable[Result]) -> str:
    """What a reader takes away: a pass only where everything planned was judged and nothing is wrong."""
    outcomes = {row.outcome for row in rows}
    if any(outcome.bad for outcome in outcomes):
        return "fail"
    if Outcome.INFRA in outcomes or not run.complete or run.status:
        return "not judged"
    return "pass" if Outcome.PASSED in outcomes else "nothing judged"


def _count(rows: Iterable[Result], outcome: Outcome) -> int:
    return sum(row.outcome is outcome for row in rows)


def _rank(row: Result) -> int:
    return WORST.index(row.outcome) if row.outcome in WORST else len(WORST)


def _row(number: int, row: Result) -> Row:
    parts = [
        ("to reproduce", row.reproduce),
        ("failure", row.details),
        *((f"{splat.kind}{' (expected)' if splat.expected else ''}", splat.text or splat.line) for splat in row.splats),
        ("kernel log", row.log),
        ("verifier", row.verifier),
    ]
    return Row(
        id=f"test-{number}",
        test=printable(row.test),
        kernel=printable(row.kernel),
        outcome=str(row.outcome),
        seconds=row.seconds,
        message=one_line(row.message),
        parts=tuple((name, bounded(text)) for name, text in parts if text),
        console=(printable(row.console), quote(row.console, errors="replace")),
        open=row.outcome in WORST and number < OPEN,
    )


def _matrix(rows: list[Row], kernels: list[JudgedKernel]) -> Iterator[tuple[str, list[Row | None]]]:
    found = {(row.test, row.kernel): row for row in rows}
    for test in sorted({row.test for row in rows}):
        yield test, [found.get((test, printable(kernel.id))) for kernel in kernels]


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
