# SPDX-License-Identifier: GPL-2.0-only
"""What a run leaves for others to read: its reports, and what GitHub Actions shows where that runs it."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from kfunctest.results import Run

#: Set to "true" by GitHub Actions; and where it takes a step's summary from.
GITHUB, STEP_SUMMARY = "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"


def add_options(group: pytest.OptionGroup) -> None:
    """Declare what reports may be told."""
    group.addoption(
        "--kcidb-origin",
        type=_origin,
        default="kfunctest",
        metavar="NAME",
        help="the name that KCIDB knows your CI system by, for kcidb.json (default: kfunctest)",
    )


def _origin(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9_]+", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no origin: lower-case letters, digits and _ only")
    return text


def write(run: Run, folder: Path, config: pytest.Config) -> None:
    """Write every report into the run's folder, and the step's summary. Raises OSError."""
    from kfunctest.reports import github, write

    write.everything(run, folder, config.getoption("kcidb_origin"))
    if (summary := os.environ.get(STEP_SUMMARY)) and _on_github():
        with Path(summary).open("a", encoding="utf-8") as out:
            out.write(github.summary(run))


def for_github(run: Run) -> Iterator[str]:
    """Lines that GitHub Actions turns into annotations; none elsewhere."""
    from kfunctest.reports import github

    if _on_github():
        yield from github.errors(run)


def _on_github() -> bool:
    return os.environ.get(GITHUB) == "true"
