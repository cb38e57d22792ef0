# SPDX-License-Identifier: GPL-2.0-only
"""How exact the self-tests measure: no slack may swallow what it is the slack of."""

from __future__ import annotations

import pytest

from kfunctest import tolerances

PAGE = 4096


@pytest.mark.parametrize("cpus", [1, 2, 8, 64, 512])
def test_every_slack_is_small_beside_what_is_charged(cpus: int) -> None:
    charged = tolerances.plenty(cpus, PAGE)
    for slack in (tolerances.usage_slack, tolerances.flushed_slack):
        assert slack(cpus, PAGE) < charged / 2, f"{slack.__name__} on {cpus} CPUs, of {charged} bytes that are charged"


def test_two_cpus_need_no_more_than_4_mib() -> None:
    assert 4 << 20 <= tolerances.plenty(2, PAGE) < 4.1 * (1 << 20)


@pytest.mark.parametrize("cpus", [1, 2, 8, 64])
def test_what_is_charged_makes_a_flush_certain(cpus: int) -> None:
    threshold = tolerances.FLUSH_BATCH_UPDATES * cpus
    held_back = (tolerances.FLUSH_BATCH_UPDATES - 1) * cpus
    assert tolerances.surely_flushed(cpus) - held_back > threshold
    assert tolerances.plenty(cpus, PAGE) // PAGE >= 2 * tolerances.surely_flushed(cpus)


def test_growth_is_known_between_two_flushes_of_everything() -> None:
    rounds = tolerances.Rounds(threshold=128)
    assert rounds.grown(0, 200, 100) is None  # what was there before is not known
    assert rounds.grown(100, 129, 150) == 50
    assert (rounds.judged, rounds.stale) == (1, 1)
    assert rounds.grown(170, 129, 200) == 50  # a flusher struck before the first reading, and none was lost
    assert (rounds.judged, rounds.stale) == (2, 1)


def test_round_whose_flush_may_have_left_something_is_not_judged_nor_the_next() -> None:
    rounds = tolerances.Rounds(threshold=128)
    rounds.grown(0, 200, 100)
    assert rounds.grown(100, 128, 100) is None
    assert rounds.grown(100, 500, 200) is None
    assert rounds.grown(200, 500, 250) == 50
    assert (rounds.judged, rounds.stale) == (1, 1)
