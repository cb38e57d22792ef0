# SPDX-License-Identifier: GPL-2.0-only
"""What a run is going to do: which test on which kernel, under the names that results have."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import pytest

from kfunctest.kernels.model import Kernel

#: From the id of a collected item to the test's name, its kernel's name and the line of its file (from 1).
Plan = dict[str, tuple[str, str, int]]


def kernel_names(kernels: Sequence[Kernel]) -> list[str]:
    """One name for each kernel: its id, with a number where two images share it."""
    total, seen = Counter(kernel.id for kernel in kernels), Counter[str]()
    names = []
    for kernel in kernels:
        seen[kernel.id] += 1
        names.append(kernel.id if total[kernel.id] == 1 else f"{kernel.id}#{seen[kernel.id]}")
    return names


def make(items: Iterable[pytest.Item], kernels: Sequence[Kernel]) -> Plan:
    """The plan of those items that judge a kernel. Without a kernel of its own, an item is on the first."""
    names = kernel_names(kernels)
    plan = {}
    for item in items:
        if not item.get_closest_marker("kfunc"):
            continue
        call = getattr(item, "callspec", None)
        of_item = call.params.get("kernel") if call else None
        test = without_kernel(item.nodeid, of_item.id) if of_item else item.nodeid
        line = (item.location[1] or 0) + 1
        plan[item.nodeid] = (test, names[kernels.index(of_item)] if of_item else next(iter(names), ""), line)
    return plan


def without_kernel(nodeid: str, kernel: str) -> str:
    """A node id without its kernel's: ``f[7.2-x]`` is ``f[x]``, ``f[7.2]`` is ``f``.

    pytest numbers the ids of kernels that share one: ``7.20`` or ``7.2_0``.
    """
    name, bracket, parameters = nodeid.partition("[")
    if not bracket:
        return nodeid
    left = re.sub(rf"(^|-){re.escape(kernel)}(?:_?\d+)?(-|$)", _joint, parameters.removesuffix("]"), count=1)
    return f"{name}[{left}]" if left else name


def _joint(found: re.Match[str]) -> str:
    return "-" if found[1] and found[2] else ""
