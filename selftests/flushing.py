# SPDX-License-Identifier: GPL-2.0-only
"""Rounds of charging pages, reading, flushing and reading again: how the tests of flushes are made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from kfunctest.guest import agent
from kfunctest.machine.kfuncs import PENDING, Call, Kfuncs
from kfunctest.machine.memcg import Memcg
from kfunctest.machine.vm import Vm
from kfunctest.tolerances import WORKER_PAGES, Rounds, threshold

#: A flusher of the kernel's own runs every 2 s and may strike in a round; hardly in each of so many.
ROUNDS = 20
#: Rounds that are enough, once they could be judged.
ENOUGH = 2


def around_a_flush(kfuncs: Kfuncs, memcg: Memcg | None, item: Call) -> list[int]:
    """The item before a flush, the updates pending then, and the item after it, in one run of the program."""
    before, pending, _, after = kfuncs.batch(memcg, [item, PENDING, Call("FLUSH_STATS"), item])
    return [before, pending, after]


def made_pending(vm: Vm, read: Callable[[], int], make: Callable[[], int]) -> int:
    """Have updates made until ``read`` tells that enough are pending for a flush: the sum of what ``make`` returned.

    Once is enough, unless the kernel's flusher strikes meanwhile: see :class:`kfunctest.tolerances.Rounds`.
    """
    made = pending = 0
    for _ in range(ROUNDS):
        made += make()
        if (pending := read()) > threshold(vm.cpus):
            return made
    pytest.fail(
        f"updates pending: expected more than {threshold(vm.cpus)}, seen {pending}, in the last of {ROUNDS} rounds",
        pytrace=False,
    )


@contextmanager
def agent_on(vm: Vm, cpu: int) -> Iterator[None]:
    """Have the agent, and the programs that it runs, on this CPU only; then wherever it was."""
    before = vm.call(agent.run_on, [cpu])
    try:
        yield
    finally:
        vm.call(agent.run_on, before)


def nowhere(_: int) -> int:
    """What others get while a memcg of ours is judged, which nobody else is in."""
    return 0


def judge_rounds(
    vm: Vm,
    memcg: Memcg,
    size: int,
    before_pending_after: Callable[[], list[int]],
    elsewhere: Callable[[int], int] = nowhere,
) -> None:
    """Charge ``size`` bytes each round: what is read, in bytes, must be exact after a flush, and stale before it.

    ``elsewhere`` tells how many bytes others have, when those made here are that many: as they grow, so may the value.
    """
    rounds = Rounds(threshold(vm.cpus))
    slack = WORKER_PAGES * vm.page_size
    made = first = then = 0
    for _ in range(ROUNDS):
        memcg.charge_anon(size)
        made += size
        around = [elsewhere(made)]
        grown = rounds.grown(*before_pending_after())
        around.append(elsewhere(made))
        # From one flush to the next: at least from after the one to before the other, at most the other way round.
        low, high = sorted((size + around[0] - then, size + around[1] - first))
        first, then = around
        assert grown is None or low - slack <= grown <= high + slack, (
            f"NR_ANON_MAPPED in bytes: {size} were charged to {memcg.path}, others had {low - size} to {high - size} "
            f"more; a flush brought up {grown}, not {low} to {high} +- {slack}"
        )
        if rounds.judged >= ENOUGH and rounds.stale:
            return
        if grown is None:
            memcg.stat_below(None)  # where updates reach no ancestor any more, they do so again
    assert rounds.judged, f"in all of {ROUNDS} rounds too few updates were pending after {size} bytes were charged"
    assert rounds.stale, f"in all of {ROUNDS} rounds page_state was fresh before the flush: it flushes by itself"
