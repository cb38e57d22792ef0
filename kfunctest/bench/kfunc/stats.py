# SPDX-License-Identifier: GPL-2.0-only
"""What can be said of a few noisy runs: medians, how sure they are, and whether one series is slower than another.

Nothing here assumes a distribution: times on a shared machine have tails, and a boot of an emulated one may be slower
than another all the way through.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from scipy.stats import mannwhitneyu, quantile_test

#: How sure an interval is.
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Spread:
    """A median; the interval that holds the true one with CONFIDENCE, or None: there are too few for one; all ends."""

    median: float
    interval: tuple[float, float] | None
    least: float
    most: float
    count: int


def spread(values: Sequence[float]) -> Spread:
    """The spread of ``values``, of which there must be one at least. Six are needed for an interval.

    The interval is that of the order statistics (exact binomial): of six or seven values, the least and the greatest.
    """
    found = quantile_test(values, p=0.5).confidence_interval(CONFIDENCE)
    ends = (float(found.low), float(found.high))
    interval = ends if all(map(isfinite, ends)) else None
    return Spread(statistics.median(values), interval, min(values), max(values), len(values))


def ratios(over: Sequence[float], under: Sequence[float]) -> list[float]:
    """What was measured in one round, divided: a machine that is slow for a while is so on both sides."""
    return [above / below for above, below in zip(over, under, strict=False)]


@dataclass(frozen=True, slots=True)
class Change:
    """``times`` as much as before; ``chance`` that as much is seen where nothing is slower than allowed."""

    times: float
    chance: float


def change(before: Sequence[float], now: Sequence[float], allowed: float) -> Change:
    """Whether ``now`` is more than ``allowed`` times ``before``: the exact test of Mann and Whitney, one-sided.

    ``times`` is the median over all pairs (Hodges and Lehmann's estimate, of a factor).
    """
    times = statistics.median(new / old for new in now for old in before)
    tested = mannwhitneyu(list(now), [allowed * old for old in before], alternative="greater", method="exact")
    return Change(times, float(tested.pvalue))
