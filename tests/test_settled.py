# SPDX-License-Identifier: GPL-2.0-only
"""How Kfuncs.settled() comes by a flush that is certain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kfunctest.guest import bpf, workers
from kfunctest.measure import surely_flushed, threshold
from kfunctest.target.kfuncs import TRIES, Call, Kfuncs
from kfunctest.target.memcg import Memcg

CPUS = 2
OPERATIONS = ("CALL_PAGE_STATE", "CALL_FLUSH_STATS", "CALL_PENDING")
VALUE = 4096


class Kernel:
    """A target on which each flush finds as many updates pending as planned, the last number again and again."""

    cpus = CPUS
    page_size = 4096
    release, prefix, lost = "7.2", "", None

    def __init__(self, *pending: int) -> None:
        self._pending = list(pending)
        self.faults: list[int] = []
        self.ran: list[str] = []

    def stretched(self, seconds: float) -> float:
        return seconds

    def file(self, path: Path) -> str:
        return str(path)

    def call(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        return self.call_within(0, function, *args)

    def call_within(self, seconds: float, function: Any, *args: Any, **kwargs: Any) -> Any:
        if function is bpf.object_enum:
            return {name: at for at, name in enumerate(OPERATIONS)} if args[1] == "call_op" else {"CALL_OK": 0}
        if function is bpf.run_calls:
            names = [OPERATIONS[operation] for operation, _ in args[3]]
            self.ran += names
            pending = self._pending.pop(0) if len(self._pending) > 1 else self._pending[0]
            return 0, 0, [{"CALL_PENDING": pending, "CALL_FLUSH_STATS": 0}.get(name, VALUE) for name in names]
        if function is workers.work and args[1] == "fault":
            self.faults.append(args[2])
            return args[2]
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
    # In one run of the program: between the look and the flush nothing else happens.
    assert kernel.ran == ["CALL_PENDING", "CALL_FLUSH_STATS", "CALL_PAGE_STATE", "CALL_PAGE_STATE"]


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
