# SPDX-License-Identifier: GPL-2.0-only
"""KTAP (the kernel's Documentation/dev-tools/ktap.rst), as tools/testing/kunit/kunit.py parse reads it.

Kernels hold files, files hold tests. ``infra``, ``crashed`` and what was never reached are ``not ok`` with the
directive ERROR, ``hung`` with TIMEOUT: a reader that knows no directives never takes them for passed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from kfunctest.reports import cases
from kfunctest.reports.sanitize import one_line, printable
from kfunctest.results import Outcome, Result, Run

VERSION = "KTAP version 1"
_DIRECTIVES = {
    Outcome.SKIPPED: "SKIP",
    Outcome.XFAILED: "XFAIL",
    Outcome.HUNG: "TIMEOUT",
    Outcome.CRASHED: "ERROR",
    Outcome.INFRA: "ERROR",
}
_OK = (Outcome.PASSED, Outcome.SKIPPED, Outcome.XFAILED)
#: What kunit_parser.py takes for the end of all results wherever it stands in a line (KTAP_END).
_ENDS_IT = re.compile(r"(List of all partitions|not syncing: VFS|reboot: System halted)")


def render(run: Run) -> str:
    """The run as KTAP."""
    kernels = list(cases.by_kernel(run))
    lines = [VERSION, *_diagnostics(f"{name}: {value}" for name, value in cases.facts(run)), f"1..{len(kernels)}"]
    for number, (kernel, rows) in enumerate(kernels, 1):
        facts = [f"{name}: {value}" for name, value in cases.facts_of(kernel)]
        files = dict.fromkeys(row.test.partition("::")[0] for row in rows)
        inner: list[str] = []
        for place, file in enumerate(files, 1):
            tests = [row for row in rows if row.test.partition("::")[0] == file]
            body = [line for index, row in enumerate(tests, 1) for line in _test(index, row)]
            inner += _group(place, file, len(tests), body, ok=_good(tests))
        lines += _group(number, kernel.id or "kernel", len(files), inner, facts, ok=_good(rows), top=True)
    return "\n".join(lines) + "\n"


def _good(rows: Iterable[Result]) -> bool:
    return all(row.outcome in _OK for row in rows)


def _group(
    number: int, name: str, size: int, body: list[str], facts: Iterable[str] = (), *, ok: bool, top: bool = False
) -> Iterator[str]:
    """A test that holds others, which are indented by two spaces below their own header."""
    name = _name(name)
    for line in (VERSION, f"# Subtest: {name}", *_diagnostics(facts), f"1..{size}", *body):
        yield f"  {line}"
    yield f"{'ok' if ok else 'not ok'} {number} {name}"
    if top:
        yield ""


def _test(number: int, row: Result) -> Iterator[str]:
    if row.outcome not in (Outcome.PASSED, Outcome.SKIPPED):
        said = [row.message, *(f"{splat.kind}: {splat.line}" for splat in row.splats), row.reproduce]
        yield from _diagnostics(filter(None, said))
    name = _name(row.test.partition("::")[2] or row.test)
    directive = _DIRECTIVES.get(row.outcome)
    why = f" # {directive} {_tame(cases.headline(row))}" if directive else ""
    yield f"{'ok' if row.outcome in _OK else 'not ok'} {number} {name}{why}"


def _diagnostics(lines: Iterable[str]) -> Iterator[str]:
    """Two spaces after the sign: with one, a line that begins "Subtest:" would be a header."""
    for line in lines:
        yield f"#  {_tame(one_line(line, 1000))}"


def _tame(line: str) -> str:
    return _ENDS_IT.sub(lambda found: found[0].replace(":", " -").replace("List of", "List of_"), line)


def _name(text: str) -> str:
    """A test's name: "#" begins a directive."""
    return _tame(" ".join(printable(text).replace("#", "_").split())) or "unnamed"
