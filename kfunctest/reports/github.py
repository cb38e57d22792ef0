# SPDX-License-Identifier: GPL-2.0-only
"""What GitHub Actions shows: an annotation at the line of each failure, and a summary of the step."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Iterator

from kfunctest.reports import cases
from kfunctest.reports.sanitize import one_line, printable
from kfunctest.results import Outcome, Result, Run

#: GitHub shows ten errors of a step; more than that only lengthens the log.
MOST = 10


def errors(run: Run) -> Iterator[str]:
    """Workflow commands, one a line: an error for each result that is no pass."""
    wrong = [row for row in cases.of_run(run) if row.outcome.bad or row.outcome is Outcome.INFRA]
    for row in wrong[:MOST]:
        text = "\n".join(filter(None, (cases.headline(row), row.reproduce)))
        yield command("error", text, title=_title(row), file=row.file, line=row.line)
    if len(wrong) > MOST:
        yield command("error", f"{len(wrong) - MOST} more are in the step's summary", title="kfunctest")


def command(level: str, text: str, *, title: str, file: str = "", line: int = 0) -> str:
    """A workflow command that annotates a line of a file, where these are known: ``level`` is error or warning."""
    where = {"file": file, "line": str(line) if file and line else "", "title": title}
    given = ",".join(f"{name}={_property(value)}" for name, value in where.items() if value)
    return f"::{level} {given}::{_data(text)}"


def summary(run: Run) -> str:
    """Markdown for the step's summary: a table of counts, where it comes from, and every result that is no pass."""
    names = [str(outcome) for outcome in Outcome]
    lines = [f"### kfunctest: {_plain(one_line(run.command))}", "", f"| kernel | {' | '.join(names)} |"]
    lines.append("|" + " --- |" * (len(names) + 1))
    wrong: list[Result] = []
    for kernel, rows in cases.by_kernel(run):
        counts = Counter(str(row.outcome) for row in rows)
        lines.append(f"| {_plain(kernel.id)} | {' | '.join(str(counts[name] or '') for name in names)} |")
        wrong += [row for row in rows if row.outcome.bad or row.outcome is Outcome.INFRA]
    lines += ["", *(_entry(row) for row in wrong), ""]
    facts = [*cases.facts(run), *(fact for kernel in run.kernels for fact in cases.facts_of(kernel))]
    lines += ["<details><summary>provenance</summary><dl>"]
    lines += [f"<dt>{_plain(name)}</dt><dd>{_plain(value)}</dd>" for name, value in facts]
    return "\n".join([*lines, "</dl></details>", ""])


def _entry(row: Result) -> str:
    name = f"<code>{_plain(row.test)}</code> on {_plain(row.kernel)}"
    repeat = f"<br><code>{_plain(row.reproduce)}</code>" if row.reproduce else ""
    return f"- {name}: {_plain(cases.headline(row))}{repeat}"


def _title(row: Result) -> str:
    return f"{row.outcome}: {row.test.partition('::')[2]} on {row.kernel}"


def _plain(text: str) -> str:
    """Text that is neither markup of HTML nor of Markdown: what either would obey becomes an entity."""
    line = html.escape(" ".join(printable(text).split()))
    return "".join(f"&#{ord(mark)};" if mark in "\\`*_[]|~" else mark for mark in line)


def _data(text: str) -> str:
    """The escapes of a workflow command's message (actions/toolkit, command.ts: escapeData)."""
    return printable(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    """The escapes of a workflow command's property (the same file: escapeProperty)."""
    return _data(text).replace(":", "%3A").replace(",", "%2C")
