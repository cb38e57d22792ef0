# SPDX-License-Identifier: GPL-2.0-only
"""Trials: runs of the suite that are read strictly, kept in a log, and not made again by a run that resumes."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from kfunctest import cache
from kfunctest.results import Outcome
from kfunctest.trial import reading
from kfunctest.trial.log import Log
from kfunctest.trial.reading import SuiteRun
from kfunctest.trial.suite import Ended, Suite

ALL: Final = ("selftests",)


@dataclass(frozen=True, slots=True)
class Image:
    """A kernel to run the suite on: what ``--kernel`` takes, its id in results where that is known, its digest."""

    spec: str
    id: str | None = None
    digest: str = ""


@dataclass
class Trials:
    """Runs ``suite``, each time with results in a directory of its own below ``folder``.

    A run that answers for its kernel is in ``log``, where there is one, before anything is concluded from it.
    """

    suite: Suite
    folder: Path
    log: Log | None = None
    _known: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.log:
            found = (entry["trial"] for entry in self.log.entries if "trial" in entry)
            self._known = {trial["key"]: trial for trial in found}

    @property
    def resumed(self) -> int:
        """How many trials an earlier run has left."""
        return len(self._known)

    def run(self, image: Image, name: str, words: Sequence[str] = (), tests: Sequence[str] = ALL) -> SuiteRun:
        """What these tests come to on this image: as the log has it, or by running them.

        ``name`` is the trial's directory: the same in another one is another trial. ``words`` are pytest's.
        """
        folder = self.folder / name
        key = cache.digest(image.spec, image.id or "", image.digest, name, *words, "", *tests)
        if known := self._recalled(key):
            return reading.read(known, folder, image.id)
        if self.log:  # what a killed run has left there is nobody's result
            shutil.rmtree(folder, ignore_errors=True)
        ended = self.suite(image.spec, folder, words, tests)
        ran = reading.read(ended, folder, image.id)
        self._keep(key, ended, ran)
        return ran

    def _keep(self, key: str, ended: Ended, ran: SuiteRun) -> None:
        """Log a run that answers for its kernel. What the machine has spoilt is run again by who resumes."""
        spoilt = ran.fault or any(one.outcome is Outcome.INFRA for one in ran.results.values())
        if self.log and ended.file and not spoilt:
            file = str(ended.file.relative_to(self.folder))
            entry = {"key": key, "status": ended.status, "said": ended.said, "file": file, "seconds": ended.seconds}
            self.log.add(trial=entry)

    def _recalled(self, key: str) -> Ended | None:
        if not (found := self._known.get(key)):
            return None
        file = self.folder / found["file"]
        if not file.exists():  # somebody has removed it
            return None
        return Ended(found["status"], found["said"], file, found["seconds"])
