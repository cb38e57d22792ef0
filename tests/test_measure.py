# SPDX-License-Identifier: GPL-2.0-only
"""How exact the self-tests measure: no slack may swallow what it is the slack of."""

from __future__ import annotations

import pytest

from kfunctest import measure

PAGE = 4096


@pytest.mark.parametrize("cpus", [1, 2, 8, 64, 512])
def test_every_slack_is_small_beside_what_is_charged(cpus: int) -> None:
    charged = measure.plenty(cpus, PAGE)
    for slack in (measure.usage_slack, measure.flushed_slack):
        assert slack(cpus, PAGE) < charged / 2, f"{slack.__name__} on {cpus} CPUs, of {charged} bytes that are charged"


def test_two_cpus_need_no_more_than_4_mib() -> None:
    assert 4 << 20 <= measure.plenty(2, PAGE) < 4.1 * (1 << 20)


@pytest.mark.parametrize("cpus", [1, 2, 8, 64])
def test_what_is_charged_makes_a_flush_certain(cpus: int) -> None:
    threshold = measure.FLUSH_BATCH_UPDATES * cpus
    held_back = (measure.FLUSH_BATCH_UPDATES - 1) * cpus
    assert measure.surely_flushed(cpus) - held_back > threshold
    assert measure.plenty(cpus, PAGE) // PAGE >= 2 * measure.surely_flushed(cpus)
