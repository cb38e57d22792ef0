# SPDX-License-Identifier: GPL-2.0-only
"""When removed cgroups count as freed."""

from __future__ import annotations

from typing import cast

import pytest

from kfunctest.machine import dying_cgroups
from kfunctest.machine.interface import Target


class Fake:
    """A target whose root has so many dying descendants, one reading after the other."""

    def __init__(self, counts: list[int]) -> None:
        self.counts = counts

    def stretched(self, seconds: float) -> float:
        return seconds

    def call(self, _function: object, path: str, file: str) -> dict[str, int]:
        assert (path, file) == ("", "cgroup.stat")
        return {"nr_descendants": 7, "nr_dying_descendants": self.counts.pop(0)}


@pytest.mark.parametrize(
    ("counts", "left"),
    [([0, 9], [9]), ([172, 20, 20, 0, 9], [9]), ([3, 2, 2, 2, 2, 1, 1, 1, 1, 1, 0], [0])],
    ids=["none is dying", "they go", "one is pinned"],
)
def test_freed(counts: list[int], left: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dying_cgroups, "PAUSE", 0)
    target = Fake(counts)
    dying_cgroups.wait_until_freed(cast("Target", target))
    assert target.counts == left
