# SPDX-License-Identifier: GPL-2.0-only
"""One mutant, from its kernel to its fate: the tests that must know first, and where they do not, all others."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from kfunctest.mutate import fate
from kfunctest.mutate.catalogue import Mutant
from kfunctest.mutate.fate import Fate, Row
from kfunctest.results import Run
from kfunctest.trial.reading import Fault
from kfunctest.trial.suite import Suite
from kfunctest.trial.trials import ALL, Image, Trials

#: Of one run of the suite on a mutant, below its folder.
EXPECTED, AGAIN, REST = "expected", "again", "rest"
_STOP: Final = ("-x",)


class NoVerdict(Exception):
    """The run left nothing to judge by; the message is one line."""


def judge(mutant: Mutant, kernel: str, folder: Path, suite: Suite) -> Row:
    """What the suite makes of a mutant whose kernel ``--kernel`` takes as ``kernel``. Each run boots a VM of its own.

    The expected tests go first, up to the first failure. Where that one is a fixture's, they all go, since another one
    may need no such fixture. Where all of them pass, the rest of the suite is asked too: what fails there kills no
    mutant, but tells where to look.
    """
    row = Row(mutant.id, Fate.INFRA, mutant.kind)
    try:
        if mutant.equivalent:
            return _equivalent(replace(row, message=mutant.equivalent), _run(suite, kernel, folder / REST, _STOP))
        run = _run(suite, kernel, folder / EXPECTED, _STOP, mutant.expected)
        if not fate.killer(run, mutant) and fate.fixture(run):
            run = _run(suite, kernel, folder / AGAIN, (), mutant.expected)
        if killer := fate.killer(run, mutant):
            return replace(
                row, fate=Fate.KILLED, test=killer.test, how=str(fate.how(killer)), message=one_line(killer.message)
            )
        if lost := fate.fixture(run):
            return replace(row, message=f"{lost.test} judged nothing: {one_line(lost.message)}")
        if run.stopped or run.unreached:
            return replace(row, message=one_line(run.stopped) or f"{len(run.unreached)} tests were never reached")
        left = [word for test in mutant.expected for word in ("--deselect", test)]
        other = fate.stranger(_run(suite, kernel, folder / REST, (*_STOP, *left)))
        said = f"{other.test}: {one_line(other.message)}" if other else ""
        return replace(row, fate=Fate.SURVIVED, elsewhere=said)
    except NoVerdict as problem:
        return replace(row, message=str(problem))


def _equivalent(row: Row, run: Run) -> Row:
    """One that is said to differ in nothing, held to that."""
    if failed := fate.stranger(run):
        said = f"it is not equivalent: {one_line(failed.message)}"
        return replace(row, fate=Fate.SURVIVED, elsewhere=failed.test, message=said)
    if lost := fate.fixture(run):
        return replace(row, message=f"{lost.test} judged nothing: {one_line(lost.message)}")
    return replace(row, fate=Fate.EQUIVALENT)


def _run(suite: Suite, kernel: str, folder: Path, words: Sequence[str], tests: Sequence[str] = ALL) -> Run:
    ran = Trials(suite, folder.parent).run(Image(kernel), folder.name, words, tests)
    if ran.run is None or ran.fault in (Fault.LOST, Fault.FOREIGN, Fault.CONTRADICTORY):
        raise NoVerdict(one_line(ran.problem))
    if not ran.run.results:
        raise NoVerdict(f"no test was run: {one_line(ran.problem)}")
    return ran.run


def one_line(text: str) -> str:
    """All of ``text`` on one line."""
    return re.sub(r"\s+", " ", text).strip()
