# SPDX-License-Identifier: GPL-2.0-only
"""What is said of a few noisy runs, and when the gate of scripts/bench kfunc trips: on made-up series."""

from __future__ import annotations

import random
import statistics
from typing import Any

import pytest

from kfunctest.bench.kfunc import gate
from kfunctest.bench.kfunc import samples as names
from kfunctest.bench.kfunc.stats import change, ratios, spread
from kfunctest.errors import SpecError
from tests.benching import noisy


def test_a_spread_has_an_interval_from_six_values_on() -> None:
    five, six = spread([3.0, 1.0, 2.0, 5.0, 4.0]), spread([3.0, 1.0, 2.0, 5.0, 4.0, 6.0])
    assert (five.median, five.interval, five.least, five.most, five.count) == (3.0, None, 1.0, 5.0, 5)
    assert (six.median, six.interval) == (3.5, (1.0, 6.0)), "of six values the interval reaches from end to end"


def test_an_interval_holds_the_true_median_as_often_as_it_says() -> None:
    chance = random.Random(1)
    intervals = [spread([chance.lognormvariate(0, 1) for _ in range(9)]).interval for _ in range(1000)]
    held = sum(1 for interval in intervals if interval and interval[0] <= 1 <= interval[1])
    assert 950 <= held <= 990, f"the interval of nine values held the median {held} times of 1000, expected 96 %"


def test_a_machine_that_is_slow_for_a_round_does_not_move_a_ratio() -> None:
    control, kfuncs = [40.0, 400.0, 41.0], [4.0, 40.0, 4.1]
    assert ratios(kfuncs, control) == pytest.approx([0.1, 0.1, 0.1])


def test_a_change_is_a_factor_that_one_outlier_does_not_move() -> None:
    before = [0.10, 0.11, 0.09, 0.10, 0.10, 0.11, 0.09]
    found = change(before, [*(2 * value for value in before[:-1]), 9.0], 1.1)
    assert found.times == pytest.approx(2.0, rel=0.12)
    assert found.chance < 0.005, f"twice as slow in six rounds of seven by a chance of {found.chance}"


@pytest.mark.parametrize("noise", [0.02, 0.10, 0.30])
def test_the_gate_lets_plain_runs_pass(noise: float) -> None:
    tripped = [
        seed
        for seed in range(200)
        if gate.judge(noisy(0.1, seed, noise=noise), noisy(0.1, -1 - seed, noise=noise)).slower
    ]
    assert len(tripped) <= 2, f"{len(tripped)} of 200 pairs of plain runs tripped it: {tripped}"


@pytest.mark.parametrize("slower, noise", [(1.25, 0.02), (1.7, 0.10), (4.0, 0.30)])
def test_the_gate_trips_on_a_slowdown_that_stands_out_of_the_noise(slower: float, noise: float) -> None:
    tripped = [
        gate.judge(noisy(0.1, seed, noise=noise), noisy(0.1 * slower, -1 - seed, noise=noise)).slower
        for seed in range(100)
    ]
    assert sum(tripped) >= 95, f"{slower} times as slow was seen in {sum(tripped)} of 100 runs"


def test_the_gate_allows_what_it_is_told_to_allow() -> None:
    before, now = noisy(0.1, 1, noise=0.01), noisy(0.15, 2, noise=0.01)
    assert gate.judge(before, now).slower
    assert not gate.judge(before, now, allowed=1.6).slower


def test_by_instructions_a_percent_is_seen_where_nothing_is_decoded() -> None:
    kinds: dict[str, Any] = {"clock": "instructions", "noise": 0.0004}
    before = noisy(0.1, 1, **kinds)
    assert not gate.judge(before, noisy(0.1, 2, **kinds)).slower
    verdict = gate.judge(before, noisy(0.1012, 3, **kinds))
    assert verdict.slower
    assert [line.partition(":")[0] for line in verdict.lines] == ["not slower", "SLOWER"]


def test_a_faster_kernel_and_a_slower_machine_pass() -> None:
    before = noisy(0.1, 1)
    assert not gate.judge(before, noisy(0.05, 2)).slower
    slow = noisy(0.1, 3)
    for runs in slow.sides.values():
        runs[:] = [names.Run(run.passes, 8 * run.real, run.user, run.system) for run in runs]
    assert not gate.judge(before, slow).slower, "eight times as slow on both sides is the same ratio"


def test_a_slower_read_is_seen_though_decoding_outweighs_it() -> None:
    # Against the control that does not decode, in which nothing else is.
    verdict = gate.judge(noisy(0.01, 1, noise=0.01), noisy(0.013, 2, noise=0.01))
    assert [line.partition(":")[0] for line in verdict.lines] == ["SLOWER", "SLOWER"]
    assert "kfuncs against raw: 1.3" in verdict.lines[1]


@pytest.mark.parametrize(
    "other, says",
    [
        ({"accelerator": "tcg"}, "another accelerator: kvm, now tcg"),
        ({"machine": "another CPU"}, "another machine"),
        ({"clock": "instructions"}, "another clock: time, now instructions"),
        ({"cpus": 4}, "another cpus: 2, now 4"),
        ({"items": 70}, "another items: 3, now 70"),
    ],
)
def test_what_cannot_be_compared_is_turned_down(other: dict[str, Any], says: str) -> None:
    with pytest.raises(SpecError, match=says):
        gate.judge(noisy(0.1, 1), noisy(0.1, 2, **other))


def test_too_few_rounds_decide_nothing() -> None:
    with pytest.raises(SpecError, match="this run has 4 rounds of kfuncs and control, and a gate needs 5"):
        gate.judge(noisy(0.1, 1), noisy(0.9, 2, rounds=4))
    assert gate.judge(noisy(0.1, 1, rounds=5, noise=0.01), noisy(0.9, 2, rounds=5, noise=0.01)).slower


def test_made_up_series_are_as_noisy_as_they_say() -> None:
    found = noisy(0.1, 1, rounds=400, noise=0.1, drift=0.0)
    each = ratios([run.each for run in found.sides[names.KFUNCS]], [run.each for run in found.sides[names.CONTROL]])
    assert statistics.median(each) == pytest.approx(0.1, rel=0.05)
    assert statistics.stdev(each) == pytest.approx(0.1 * 0.14, rel=0.2), "two runs, each off by a tenth"
