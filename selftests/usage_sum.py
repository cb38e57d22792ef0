# SPDX-License-Identifier: GPL-2.0-only
"""Usage to the page: when no CPU keeps a stock, what is charged is what the items say, kind by kind."""

from __future__ import annotations

from conftest import Items
from kfunctest.guest import cgroup
from kfunctest.kernels.model import Kernel
from kfunctest.machine.kfuncs import Call, Kfuncs
from kfunctest.machine.memcg import Memcg
from kfunctest.machine.vm import Vm
from kfunctest.plugin.applicable import needs
from kfunctest.wait import wait_until

#: What is charged, each page of it by one of these: what users have, in pages that are mapped or cached, and the
#: kernel's own. Pages of hugetlb come on top where memcgs are charged for them, which no test that asks here turns on.
CHARGED = ("NR_ANON_MAPPED", "NR_FILE_PAGES", "MEMCG_KMEM", "MEMCG_SOCK")

#: Written to, the kernel moves pages together, and first puts those on their lists that CPUs gather for it: of pages
#: that were unmapped meanwhile, these hold the last reference, and so the charge (compact_nodes(), mm/compaction.c).
COMPACT = "/proc/sys/vm/compact_memory"


def judge_sum(vm: Vm, kernel: Kernel, kfuncs: Kfuncs, memcg: Memcg, items: Items, what: str, busy: Memcg) -> None:
    """Usage of the memcg comes to be what its items sum up to, exactly, ``what`` having happened.

    It is asked for until then: what a process had is freed a moment after it ended, and CPUs give back their stocks by
    themselves. ``busy`` is where a worker lives, the memcg itself or one below, that makes flushes certain.
    """
    needs(kernel.option("CONFIG_COMPACTION") == "y", "CONFIG_COMPACTION is not set")
    calls = [Call("USAGE"), *map(items.call, CHARGED)]

    def read() -> dict[str, int]:
        values = kfuncs.settled(memcg, *calls, busy=busy, then=lambda: give_back(vm, memcg))
        return dict(zip(("usage", *CHARGED), values, strict=True))

    wait_until(
        read,
        until=lambda seen: seen["usage"] == sum(seen[name] for name in CHARGED),
        seconds=vm.stretched(3),
        interval=0.05,
        what=f"usage of {memcg.path} in bytes, {what} and without any stock, to be the sum of its items",
    )


def give_back(vm: Vm, memcg: Memcg) -> None:
    """Have the CPUs give back what they keep of this memcg: folios that they gather, and their stock."""
    vm.call(cgroup.write_file, COMPACT, "1")
    drain(memcg, vm.page_size)


def drain(memcg: Memcg, page_size: int) -> None:
    """Have every CPU give back its stock of this memcg and of those below it.

    A memory.high that is a page too low does it, before anything is reclaimed (memory_high_write(), mm/memcontrol.c).
    """
    memcg.write("memory.high", str(max(0, memcg.current() - page_size)))
    memcg.write("memory.high", "max")
