# SPDX-License-Identifier: GPL-2.0-only
"""What GitHub's and GitLab's CI show of a gate beside its log: folds, annotations, a summary of the step.

https://docs.github.com/actions/reference/workflow-commands-for-github-actions and
https://docs.gitlab.com/ci/jobs/job_logs/ say how.
"""

from __future__ import annotations

import os
import re
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from kfunctest.gate.text import Page, kernels, terminal, verdict_line
from kfunctest.reports.github import command
from kfunctest.reports.sanitize import one_line

#: GitHub shows ten annotations of a kind in a step; the log has all.
ANNOTATIONS: Final = 10


@contextmanager
def fold(title: str) -> Iterator[None]:
    """Fold what is written meanwhile, where the CI's log can. GitHub obeys no line of it, whoever wrote it."""
    github, gitlab = os.environ.get("GITHUB_ACTIONS"), os.environ.get("GITLAB_CI")
    section = re.sub(r"\W", "_", title)
    token = secrets.token_hex(16)
    if github:
        _write(f"::group::{title}\n::stop-commands::{token}\n")
    elif gitlab:
        _write(f"\x1b[0Ksection_start:{time.time():.0f}:{section}[collapsed=true]\r\x1b[0K{title}\n")
    else:
        _write(f"\ngate: {title} ...\n")
    try:
        yield
    finally:
        if github:
            _write(f"\n::{token}::\n::endgroup::\n")
        elif gitlab:
            _write(f"\x1b[0Ksection_end:{time.time():.0f}:{section}\r\x1b[0K\n")


def report(page: Page) -> None:
    """Annotate what is bad, and add the matrix to the step's summary, where GitHub runs us. Raises OSError."""
    if not os.environ.get("GITHUB_ACTIONS"):
        return
    for line in commands(page):
        _write(f"{line}\n")
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(summary).open("a", errors="backslashreplace") as out:
            out.write(markdown(page))


def commands(page: Page) -> list[str]:
    """One command for each finding that decides, the gravest first."""
    found = [("error", finding) for finding in page.verdict.bad]
    found += [("warning", finding) for finding in page.verdict.unjudged]
    lines = []
    for level, finding in found[:ANNOTATIONS]:
        row = next((row for row in page.matrix.rows if row.kernel == finding.kernel), None)
        result = row.results.get(finding.test) if row else None
        message = "\n".join(filter(None, [finding.text, finding.reproduce]))
        title = one_line(" ".join(filter(None, [finding.kernel, finding.test]))) or "gate"
        file, line = (result.file, result.line) if result else ("", 0)
        lines.append(command(level, message, title=title, file=file, line=line))
    return lines


def markdown(page: Page) -> str:
    """The verdict, the kernels and what asks for attention. Fenced, so that nothing in it is markup."""
    body = terminal(page)
    fence = "`" * (max(map(len, re.findall(r"`+", body)), default=2) + 1)
    rows = "\n".join(kernels(page.matrix))
    return (
        f"### {verdict_line(page)}\n\n{fence}\n{rows}\n{fence}\n\n"
        f"<details><summary>All</summary>\n\n{fence}\n{body}{fence}\n\n</details>\n"
    )


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
