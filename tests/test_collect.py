# SPDX-License-Identifier: GPL-2.0-only
"""What a controller of pytest-xdist, which collects nothing, expects of the command line."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from kfunctest.plugin import collect


@pytest.mark.parametrize(
    "expression, may",
    [("", True), ("kfunc", True), ("kfunc and not kfunc_x", True), ("not kfunc", False), ("vm and not kfunc", False)],
)
def test_only_the_whole_word_excludes_what_judges_a_kernel(expression: str, may: bool) -> None:
    config = SimpleNamespace(
        args=["selftests"],
        invocation_params=SimpleNamespace(dir=Path(__file__).parents[1]),
        option=SimpleNamespace(markexpr=expression, collectonly=False),
    )
    assert collect.may_ask_for_a_kernel(cast("pytest.Config", config)) is may
