# SPDX-License-Identifier: GPL-2.0-only
"""A small project of its own that uses the plugin: its tests judge a kernel made by hand, without booting it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kfunctest import proc, results
from kfunctest.results import Outcome, Result, Run

CHECKOUT = Path(__file__).resolve().parents[1]
CONFTEST = """\
import pytest
from kfunctest.plugin import SESSION
pytest_plugins = ["kfunctest.plugin.hooks"]

@pytest.fixture(scope="session")
def kernel(request):
    return getattr(request, "param", None) or request.config.stash[SESSION].kernels[0]
"""


@dataclass(frozen=True, slots=True)
class Child:
    """The project's folder, the kernel that it judges, and what its runs left."""

    folder: Path
    image: Path

    @property
    def argv(self) -> list[str | Path]:
        """The command line of a run, less the tests."""
        words: list[str | Path] = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--accel", "tcg"]
        return [*words, "-o", f"pythonpath={CHECKOUT}", "--rootdir", ".", f"--kernel={self.image}"]

    @property
    def env(self) -> Mapping[str, str | None]:
        """The environment of a run: no CI, a cache of its own."""
        return {"KFUNCTEST_CACHE": str(self.folder / "cache"), "GITHUB_ACTIONS": None, "GITHUB_STEP_SUMMARY": None}

    def judge(self, *words: str | Path, env: Mapping[str, str | None] | None = None) -> proc.Completed:
        """Run its tests."""
        env = {**self.env, **(env or {})}
        return proc.run([*self.argv, *words, "."], seconds=300, cwd=self.folder, env=env, check=False)

    @property
    def latest(self) -> Path:
        """The newest run's folder."""
        return self.folder / "results" / "latest"

    @property
    def run(self) -> Run:
        """The newest run, which must be whole."""
        return results.read(self.latest / results.NAME)

    @property
    def outcomes(self) -> dict[str, Outcome]:
        """The newest run's outcomes, by test."""
        return {result.test.partition("::")[2]: result.outcome for result in self.run.results}

    def result(self, name: str) -> Result:
        """One result of the newest run."""
        return next(result for result in self.run.results if result.test.endswith(f"::{name}"))


def write(folder: Path, image: Path, tests: str) -> Child:
    """Make the project. ``tests`` is the source of its one file, test_all.py; pytest is imported there."""
    folder.mkdir()
    (folder / "pyproject.toml").write_text((CHECKOUT / "pyproject.toml").read_text())
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_all.py").write_text(f"import pytest\npytestmark = pytest.mark.kfunc\n{tests}")
    return Child(folder, image)
