# SPDX-License-Identifier: GPL-2.0-only
"""A bisection as a user runs it, on a small history of a real kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

from kfunctest.bisect.options import GOOD
from tests.building import needs_build_tools
from tests.history import linux, running


@pytest.mark.vm
@needs_build_tools
def test_a_bisection_finds_who_broke_a_kfunc(tmp_path: Path) -> None:
    ended = running.bisect(linux.made("small"), tmp_path, "--tries", "1")
    assert (ended.culprit, ended.status) == ("c4", GOOD), ended.text
    assert ended.data["confirmed"], ended.text
    assert any(step["same_as"] for step in ended.data["steps"]), "a commit of documentation was built"
    message = ended.data["evidence"]["message"]
    assert "expected" in message, message
