# SPDX-License-Identifier: GPL-2.0-only
"""Paths as users write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from kfunctest.errors import SpecError
from kfunctest.kernels import user_paths
from tests.pytest_result import Judge


@pytest.mark.parametrize("text", ["a\nb", "a\x1b[0mb", "a\x7f"])
def test_a_path_with_a_control_character_is_rejected_in_one_line(text: str) -> None:
    with pytest.raises(SpecError, match="has a control character in its name; rename it") as caught:
        user_paths.written(text, Path("/x"))
    assert str(caught.value).isprintable()


def test_a_path_below_a_directory_with_a_line_break_is_rejected() -> None:
    with pytest.raises(SpecError, match="control character"):
        user_paths.written("results", Path("/a\nb"))


def test_other_paths_are_taken_as_they_are() -> None:
    assert user_paths.written("a b,'\"\\%=:\xe9", Path("/x")) == Path("/x", "a b,'\"\\%=:\xe9")


def test_a_run_rejects_them_before_anything_is_built(judge: Judge, tmp_path: Path) -> None:
    for option in ("--kernel", "--results"):
        ended = judge(f"{option}={tmp_path}/a\nb")
        assert ended.status == 4, ended.text
        assert "a\\nb' has a control character in its name; rename it" in ended.text.splitlines()[-1], ended.text
    assert not (tmp_path / "a\nb").exists()
