# SPDX-License-Identifier: GPL-2.0-only
"""A pytest plugin, ``-p kfunctest.coverage.collect``: keeps what the kernel counted, boot by boot.

It is read after every test, since a boot may end at any time: what a kernel counted until it died is worth having.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from kfunctest import files
from kfunctest.errors import GuestError, VmDied
from kfunctest.guest import gcov
from kfunctest.plugin import SESSION


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare where to keep it."""
    parser.addoption("--gcov", type=Path, metavar="DIR", help="keep what the kernel counts of its runs here")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, Any, Any]:
    """Read the counters last of all, when the fixtures are gone."""
    result = yield
    session = item.config.stash[SESSION]
    folder: Path | None = item.config.getoption("gcov")
    vm = session.running
    if folder is None or vm is None or vm.lost:
        return result
    try:
        counted = vm.call(gcov.read)
    except (VmDied, GuestError):
        return result
    for place, data in counted:
        file = folder / session.console.removesuffix(".log") / Path(place).name
        file.parent.mkdir(parents=True, exist_ok=True)
        files.write(file, data)
    return result
