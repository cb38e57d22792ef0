# SPDX-License-Identifier: GPL-2.0-only
"""Whether both sides read the same: a faster wrong answer is a failure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

#: A sample: memory.stat, what the kfuncs say, memory.stat again.
Sample = tuple[Mapping[str, int], Mapping[str, int], Mapping[str, int]]


def disagreements(samples: Sequence[Sample]) -> list[str]:
    """A line for each key of both that agrees in none of the samples; what is read by nobody else is not judged.

    Where the file says the same before and after, the value in between must be that; else it must lie between them.
    A value that goes up and back within a sample fits another time.
    """
    found = []
    for key in sorted(set(samples[0][0]) & set(samples[0][1])):
        if not any(_between(before[key], value[key], after[key]) for before, value, after in samples):
            before, value, after = (one[key] for one in samples[-1])
            was = f"{before}" if before == after else f"{before} to {after}"
            found.append(f"{key}: {value} through the kfuncs, {was} in memory.stat")
    return found


def _between(before: int, value: int, after: int) -> bool:
    return min(before, after) <= value <= max(before, after)


def differences(file: Mapping[str, int], kfuncs: Mapping[str, int]) -> list[str]:
    """The same for two readings of a memcg in which nothing happens: every key of both must be equal."""
    return disagreements([(file, kfuncs, file)])


def compared(file: Mapping[str, int], kfuncs: Mapping[str, int]) -> int:
    """How many keys are in both."""
    return len(set(file) & set(kfuncs))
