# SPDX-License-Identifier: GPL-2.0-only
"""Mutants, a builder and a suite that are played, for the tests of scripts/mutate: no kernel, no VM."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from kfunctest.mutate.catalogue import Mutant
from kfunctest.results import JudgedKernel, Outcome, Result, Run, Splat
from kfunctest.trial.suite import Ended
from tests.gating import leave

RIGHT, SECOND, OTHER = (f"selftests/test_{name}.py::test_{name}" for name in ("usage", "root", "swap"))
WARNING = Splat("warn", "WARNING: CPU: 1 PID: 77 at mm/x.c:1 f+0x12/0x34", "")


def mutant(folder: Path, name: str = "usage-pages", equivalent: str = "", kind: str = "unit") -> Mutant:
    """One that RIGHT and SECOND are expected to kill."""
    patch = folder / f"{name}.patch"
    patch.write_text(f"--- {name}\n")
    return Mutant(name, kind, "usage is in pages", patch, () if equivalent else (RIGHT, SECOND), equivalent)


def passed(*tests: str) -> list[Result]:
    return [Result(test, "k", Outcome.PASSED) for test in tests]


def failed(test: str, phase: str = "call", outcome: str = "failed", **more: object) -> list[Result]:
    return [Result(test, "k", Outcome(outcome), phase=phase, message="1 page\nof 4096", **more)]  # type: ignore[arg-type]


@dataclass
class PlayedSuite:
    """Leaves what each run (``expected``, ``again``, ``rest``) is told to find; None: it leaves nothing."""

    found: Mapping[str, Sequence[Result] | None]
    #: Of every run: the kernel, the folder's name, pytest's words, the tests.
    asked: list[tuple[str, str, tuple[str, ...], tuple[str, ...]]] = field(default_factory=list)
    stopped: str = ""

    def __call__(self, kernel: str, folder: Path, words: Sequence[str], tests: Sequence[str]) -> Ended:
        self.asked.append((kernel, folder.name, tuple(words), tuple(tests)))
        found = self.found[folder.name]
        if found is None:
            return Ended(-9, "Killed", None)
        status = int(any(one.outcome.bad for one in found))
        judged = JudgedKernel("k", kernel, "7.2.0", "Debian", "v7.0", "identified by BTF")
        run = Run("2026-01-01", "pytest", "tcg", "QEMU", (judged,), results=tuple(found), status=status)
        return leave(folder, replace(run, stopped=self.stopped))

    @property
    def runs(self) -> list[str]:
        """Which runs there were, in their order."""
        return [name for _, name, _, _ in self.asked]
