# SPDX-License-Identifier: GPL-2.0-only
"""A ``--kernel`` that names nothing, or something that is read without an end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kfunctest.errors import SpecError
from kfunctest.kernels import facts, spec


@pytest.mark.parametrize("text", ["", " ", "\t"])
def test_an_empty_spec_is_not_the_directory_one_is_in(text: str, image: Path) -> None:
    """As a shell gives it for a variable that is not set, in a build tree for instance."""
    for ask in (spec.check, spec.resolve):
        with pytest.raises(SpecError, match="there is no kernel"):
            ask(text, base=image.parent)


@pytest.mark.usefixtures("cache_here")
def test_what_is_no_regular_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(SpecError, match="is no regular file; pass a bzImage"):
            facts.read(path)
