# SPDX-License-Identifier: GPL-2.0-only
"""Every report of a run, into its folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from kfunctest import files
from kfunctest.reports import bpf_ci, html, junit, kcidb, ktap
from kfunctest.results import Run

#: The reports by their files' names.
FILES: Mapping[str, Callable[[Run], str]] = {
    "junit.xml": junit.render,
    "results.ktap": ktap.render,
    "test_progs.json": bpf_ci.render,
    "kcidb.json": kcidb.render,
    "report.html": html.render,
}


def everything(run: Run, folder: Path, kcidb_origin: str = kcidb.ORIGIN) -> None:
    """Write all reports; each is there whole or not at all. Raises OSError for the first that cannot be written."""
    renderers: dict[str, Callable[[Run], str]] = {**FILES, "kcidb.json": partial(kcidb.render, origin=kcidb_origin)}
    for name, render in renderers.items():
        files.write(folder / name, render(run))
