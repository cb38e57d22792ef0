# SPDX-License-Identifier: GPL-2.0-only
"""A matrix and its verdict as one page that needs nothing beside it; each kernel links to its own run's report."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from kfunctest.gate.matrix import Row
from kfunctest.gate.text import LETTERS, Page, of_kernel, verdict_line
from kfunctest.gate.verdict import Finding, Standing
from kfunctest.reports import cases
from kfunctest.reports.sanitize import one_line, printable

HERE: Final = Path(__file__).parent
NAME: Final = "matrix.html"
#: What a run leaves in its folder beside its results (kfunctest/reports).
REPORT: Final = "report.html"


@dataclass(frozen=True, slots=True)
class Cell:
    """What the page shows of one test on one kernel: all texts printable."""

    outcome: str
    text: str
    standing: str
    says: str


def render(page: Page, folder: Path) -> str:
    """The page, to be written into ``folder``, which holds the runs: a link is made where there is a report."""
    style = (HERE / "matrix.css").read_text()
    engine = Environment(loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    verdict = page.verdict
    return engine.get_template("matrix.html.j2").render(
        style=style,
        style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        verdict=verdict.status.name.lower(),
        line=printable(verdict_line(page)),
        facts=_facts(page),
        kernels=[
            (row.kernel, printable(of_kernel(row)), _link(row, folder), _provenance(row)) for row in page.matrix.rows
        ],
        findings=[
            (title, [_finding(finding) for finding in found])
            for title, found in (
                ("Bad", verdict.bad),
                ("Could not be judged", verdict.unjudged),
                ("Bad, and known to the baseline", verdict.known),
                ("Notes", verdict.notes),
            )
            if found
        ],
        tests=[(printable(test), [_cell(page, row, test) for row in page.matrix.rows]) for test in page.matrix.tests],
    )


def _facts(page: Page) -> list[tuple[str, str]]:
    matrix = page.matrix
    pairs = [
        ("command", matrix.command),
        ("started", matrix.started),
        ("ended", matrix.ended),
        ("suite", matrix.project),
    ]
    return [(name, printable(value)) for name, value in pairs if value]


def _provenance(row: Row) -> list[tuple[str, str]]:
    if row.run is None:
        return []
    own = [fact for kernel in row.run.kernels for fact in cases.facts_of(kernel)]
    return [(name, printable(value)) for name, value in (*own, *cases.facts(row.run))]


def _link(row: Row, folder: Path) -> str:
    place = Path(row.folder, REPORT)
    return str(place) if row.folder and (folder / place).is_file() else ""


def _finding(finding: Finding) -> tuple[str, str]:
    return printable(str(finding)), printable(finding.reproduce)


def _cell(page: Page, row: Row, test: str) -> Cell | None:
    result = row.results.get(test)
    if result is None:
        return None
    standing = page.standing(row, test) or Standing.GOOD
    again = row.repeated(test)
    says = [str(result.outcome), one_line(result.message)]
    says += [f"again: {', '.join(again)}"] if again else []
    says += [str(standing)] if standing in (Standing.KNOWN, Standing.LEFT_OUT) else []
    text = "".join(["> " if again else "", *(LETTERS[outcome] for outcome in again)])
    return Cell(str(result.outcome), text, standing.replace(" ", "-"), "; ".join(filter(None, says)))
