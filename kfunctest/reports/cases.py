# SPDX-License-Identifier: GPL-2.0-only
"""What a report has rows for: the results, and whatever else keeps a run from being a pass."""

from __future__ import annotations

from collections.abc import Iterator

from kfunctest.reports.sanitize import one_line, printable
from kfunctest.results import Between, JudgedKernel, Outcome, Result, Run, Untested

#: What stands for a file in the rows that no test made, and the row of a run that ended for a reason of its own or of
#: which the end is not known.
OURS = "kfunctest"
THE_RUN = f"{OURS}::the run"


def of_run(run: Run) -> list[Result]:
    """Every row of a report: results in the order planned, whichever worker was first, tests that were never reached,
    what no test covers, splats between tests, the run's own early end.
    """
    place = {pair: number for number, pair in enumerate(run.planned)}
    tests = [*run.results, *_unreached(run)]
    tests.sort(key=lambda row: place.get((row.test, row.kernel), len(place)))
    rows = [*tests, *(_untested(kernel, one) for kernel, one in run.unaccepted), *map(_between, run.between)]
    if run.stopped or run.status is None:
        first = run.kernels[0].id if run.kernels else ""
        outcome = Outcome.FAILED if run.status == 1 else Outcome.INFRA
        rows.append(Result(THE_RUN, first, outcome, message=run.stopped or "the run did not come to its end"))
    return rows


def by_kernel(run: Run) -> Iterator[tuple[JudgedKernel, list[Result]]]:
    """Each kernel with its rows, in the order in which the kernels were named."""
    rows = of_run(run)
    known = {kernel.id: kernel for kernel in run.kernels}
    for name in dict.fromkeys([*known, *(row.kernel for row in rows)]):
        kernel = known.get(name) or JudgedKernel(name, "", "", "", "", "")
        yield kernel, [row for row in rows if row.kernel == name]


def facts(run: Run) -> list[tuple[str, str]]:
    """Where the run's results come from, as pairs of a name and a printable value; no value is empty."""
    pairs = [
        ("started", run.started),
        ("ended", run.ended),
        ("command", run.command),
        ("status", "" if run.status is None else str(run.status)),
        ("stopped", run.stopped),
        ("accelerator", run.accelerator),
        ("versions", run.versions),
        ("kfunctest", run.project),
    ]
    return [(name, printable(value)) for name, value in pairs if value]


def facts_of(kernel: JudgedKernel) -> list[tuple[str, str]]:
    """Where a kernel comes from, as pairs of a name and a printable value; no value is empty."""
    pairs = [
        ("kernel", kernel.release),
        ("spec", kernel.spec),
        ("origin", kernel.origin),
        *(("patch", f"{id_} {subject}") for id_, subject in kernel.patches),
        ("flavours", ", ".join(kernel.flavours)),
        ("contract", f"{kernel.contract or 'none'} ({kernel.how_contract})" if kernel.how_contract else ""),
        ("not tested", "; ".join(map(str, kernel.untested))),
        ("configuration", kernel.config_digest),
        ("compiler", kernel.compiler),
        ("image", kernel.image),
    ]
    return [(name, printable(value)) for name, value in pairs if value]


def headline(row: Result) -> str:
    """One line that says how a row ended and why; the outcome leads wherever pytest has no word for it."""
    said = one_line(row.message) or one_line(row.splats[0].line if row.splats else "")
    return f"{row.outcome}: {said}" if said else str(row.outcome)


def _untested(kernel: str, one: Untested) -> Result:
    message = f"no test covers the {one.kind} {one.name}; accept that with --accept-kfunc {one.name}"
    return Result(f"{OURS}::not tested: {one.name}", kernel, Outcome.INFRA, message=message)


def _between(found: Between) -> Result:
    where = " and ".join(
        filter(None, (found.after and f"after {found.after}", found.before and f"before {found.before}"))
    )
    first = found.splats[0].line if found.splats else ""
    message = f"the kernel complained while no test ran, {where or 'without any test'}: {first}"
    name = f"{OURS}::between tests: {where or 'no test'}"
    return Result(name, found.kernel, Outcome.FAILED, message=message, splats=found.splats)


def _unreached(run: Run) -> Iterator[Result]:
    for test, kernel in run.unreached:
        message = f"not reached: {run.stopped or 'the run ended before'}"
        yield Result(test, kernel, Outcome.INFRA, message=message, file=test.partition("::")[0])
