# SPDX-License-Identifier: GPL-2.0-only
"""How soon the quick suite's first test has passed, as its output tells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from kfunctest.bench import harness
from kfunctest.machine.accelerator import Accelerator
from kfunctest.trial.suite import Ended
from tests.fakekernel import NO_IMAGE
from tests.gating import leave, row


@pytest.mark.parametrize(
    "pieces",
    [
        [b"a.py::test_a PASSED [ 50%]\n"],
        [b"a.py::test_a", b" ", b"PASSED", b" [ 50%]\n"],
        [b"a.py::test_a PAS", b"SED"],
    ],
)
def test_the_first_pass_is_seen_however_the_output_comes(
    pieces: Sequence[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def suite(_seconds: float, show: Callable[[bytes], None]) -> Callable[..., Ended]:
        def run(_kernel: str, folder: Path, _words: Sequence[str], _tests: Sequence[str]) -> Ended:
            for piece in pieces:
                show(piece)
            judged = row(NO_IMAGE.id, a="passed").run
            assert judged
            return leave(folder, replace(judged, status=0))

        return run

    monkeypatch.setattr(harness, "pytest_suite", suite)
    seconds, first = harness._suite(NO_IMAGE, Accelerator("tcg", "", 1), 10.0, tmp_path / "1")
    assert 0 < first < 10
    assert seconds
