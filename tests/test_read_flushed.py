# SPDX-License-Identifier: GPL-2.0-only
"""How Kfuncs.settled() comes by a flush that is certain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kfunctest.guest import bpf, cgroup, workers
from kfunctest.machine.kfuncs import TRIES, Call, Kfuncs
from kfunctest.machine.memcg import Memcg
from kfunctest.tolerances import surely_flushed, threshold

CPUS = 2
OPERATIONS = ("CALL_PAGE_STATE", "CALL_FLUSH_STATS", "CALL_PENDING")
VALUE = 4096
ERRORS = {"CALL_OK": 0, "CALL_NO_COUNT": 1}


class Kernel:
    """A target on which each flush finds as many updates pending as planned, the last number again and again.

    It leaves none where they were enough, and all where they were not.
    """

    cpus = CPUS
    page_size = 4096
    release, prefix, lost = "7.2", "", None

    def __init__(self, *pending: int | None) -> None:
        self._pending = list(pending)
        self.faults: list[int] = []
        self.ran: list[str] = []
        self.stats: list[str] = []

    def stretched(self, seconds: float) -> float:
        return seconds

    def file(self, path: Path) -> str:
        return str(path)

    def call(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        return self.call_within(0, function, *args)

    def call_within(self, seconds: float, function: Any, *args: Any, **kwargs: Any) -> Any:
        if function is bpf.object_enum:
            return {name: at for at, name in enumerate(OPERATIONS)} if args[1] == "call_op" else ERRORS
        if function is bpf.run_calls:
            names = [OPERATIONS[operation] for operation, _ in args[3]]
            self.ran += names
            found = self._pending.pop(0) if len(self._pending) > 1 else self._pending[0]
            if found is None:
                return (1, 0, []) if "CALL_PENDING" in names else (0, 0, [0, VALUE, VALUE])
            left = 0 if found > threshold(CPUS) else found
            return 0, 0, [found, 0, left, VALUE, VALUE]
        if function is workers.work and args[1] == "fault":
            self.faults.append(args[2])
            return args[2]
        if function is cgroup.read_keys:
            self.stats.append(args[0])
        return 1


def settled(kernel: Kernel) -> tuple[list[int], Kfuncs]:
    kfuncs = Kfuncs(kernel, Path("kfuncs.bpf.o"))
    return kfuncs.settled(Memcg(kernel, "memcg"), Call("PAGE_STATE", 1), Call("PAGE_STATE", 2)), kfuncs


def test_a_flush_that_has_more_to_do_than_the_threshold_settles_it() -> None:
    kernel = Kernel(threshold(CPUS) + 1)
    values, kfuncs = settled(kernel)
    assert values == [VALUE, VALUE]
    assert kernel.faults == [surely_flushed(CPUS)]
    assert kfuncs.stirred == surely_flushed(CPUS)
    # In one run of the program, so that next to nothing comes between.
    around = ["CALL_PENDING", "CALL_FLUSH_STATS", "CALL_PENDING"]
    assert kernel.ran == [*around, "CALL_PAGE_STATE", "CALL_PAGE_STATE"]


def test_a_flush_whose_updates_were_forgotten_is_made_sure_of_anew() -> None:
    kernel = Kernel(0, threshold(CPUS), threshold(CPUS) + 1)
    _, kfuncs = settled(kernel)
    assert len(kernel.faults) == 3
    assert kfuncs.stirred == 3 * surely_flushed(CPUS)


def test_a_kernel_that_never_counts_enough_is_read_as_it_is() -> None:
    kernel = Kernel(0)
    values, _ = settled(kernel)
    assert values == [VALUE, VALUE]
    assert len(kernel.faults) == TRIES


def test_what_comes_before_the_flush_comes_each_time() -> None:
    kernel, came = Kernel(0, threshold(CPUS) + 1), []
    Kfuncs(kernel, Path("kfuncs.bpf.o")).settled(Memcg(kernel, "memcg"), then=lambda: came.append(len(kernel.faults)))
    assert came == [1, 2]


def test_where_nothing_climbs_what_is_between_is_flushed_from_below() -> None:
    kernel = Kernel(0, threshold(CPUS) + 1)
    top, leaf = Memcg(kernel, "top"), Memcg(kernel, "top/middle/leaf")
    Kfuncs(kernel, Path("kfuncs.bpf.o")).settled(top, busy=leaf)
    stirring = ["top/middle/leaf"] * 3
    assert kernel.stats == [*stirring, "top/middle/leaf", "top/middle", *stirring]


def test_a_kernel_whose_count_is_somewhere_else_is_flushed_without_it() -> None:
    kernel = Kernel(None)
    values, _ = settled(kernel)
    assert values == [VALUE, VALUE]
    assert kernel.ran[-3:] == ["CALL_FLUSH_STATS", "CALL_PAGE_STATE", "CALL_PAGE_STATE"]
    assert len(kernel.faults) == 1
