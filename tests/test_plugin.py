# SPDX-License-Identifier: GPL-2.0-only
"""What the plugin does around the tests: which of them run, and where consoles are kept."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from kfunctest import proc
from kfunctest.plugin.session import KEPT_RUNS

CHECKOUT = Path(__file__).resolve().parents[1]


def run(*words: str | Path, cwd: Path = CHECKOUT) -> proc.Completed:
    """A pytest of its own."""
    return proc.run([sys.executable, "-m", "pytest", *words], seconds=60, cwd=cwd, check=False)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that uses the plugin and has a test of each kind, and one that makes this run's results folder."""
    (tmp_path / "pyproject.toml").write_text((CHECKOUT / "pyproject.toml").read_text())
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["kfunctest.plugin.hooks"]\n')
    (tmp_path / "test_all.py").write_text(
        "import pytest\n"
        "from kfunctest.plugin import SESSION\n"
        "def test_plain(): pass\n"
        "@pytest.mark.network\ndef test_far(): pass\n"
        "@pytest.mark.soak\ndef test_long(): pass\n"
        "def test_results(request): assert request.config.stash[SESSION].results.is_dir()\n"
    )
    return tmp_path


@pytest.mark.parametrize(
    ("words", "ran"),
    [
        ((), {"plain", "results"}),
        (("-m", "network"), {"far"}),
        (("-m", "soak or network"), {"far", "long"}),
        (("-m", "not kfunc"), {"plain", "results"}),
    ],
    ids=["nothing", "network", "both", "not kfunc"],
)
def test_what_is_on_request_only_is_not_run_unasked(project: Path, words: tuple[str, ...], ran: set[str]) -> None:
    done = run(
        "-v", "-p", "no:cacheprovider", "-o", f"pythonpath={CHECKOUT}", "--rootdir", ".", *words, ".", cwd=project
    )
    passed = {line.split()[0].rpartition("_")[2] for line in done.stdout.splitlines() if " PASSED" in line}
    assert passed == ran, done.stdout + done.stderr


def test_consoles_of_runs_that_still_go_are_kept(project: Path) -> None:
    results = project / "results"
    going = results / f"20250101-000000-{os.getpid()}"
    gone = [results / f"2025020{day}-000000-{1 << 23}" for day in range(1, 8)]
    for folder in (going, *gone, results / "notes"):
        folder.mkdir(parents=True)
    done = run("-p", "no:cacheprovider", "-o", f"pythonpath={CHECKOUT}", "-k", "results", ".", cwd=project)
    assert done.status == 0, done.stdout + done.stderr
    left = {path.name for path in results.iterdir()}
    assert {going.name, "notes"} <= left
    assert {path.name for path in gone} & left == {path.name for path in gone[1 - KEPT_RUNS :]}
    assert len(left) == KEPT_RUNS + 2


def test_a_checkout_that_cannot_be_written_fails_no_run() -> None:
    """Nobody makes a folder in /proc, root neither."""
    done = run("-o", "cache_dir=/proc/nowhere", "tests/test_contract.py")
    assert done.status == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_scripts_kfunc_takes_folders_for_what_they_are(tmp_path: Path) -> None:
    """A kernel's folder and one for results are no folders of tests, though pytest looks at every word for these."""
    words = ("--kernel", tmp_path, "--results", tmp_path, "-q", "--collect-only")
    done = proc.run([CHECKOUT / "scripts" / "kfunc", *words], seconds=60, check=False)
    assert done.status == 0, done.stdout + done.stderr
    assert "test_usage.py::test_usage_equals_memory_current" in done.stdout
