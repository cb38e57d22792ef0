# SPDX-License-Identifier: GPL-2.0-only
"""Every kfunc as a Python call, through one sleepable BPF program (selftests/bpf/kfuncs.bpf.c)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kfunctest.guest import bpf
from kfunctest.machine.interface import Target
from kfunctest.machine.memcg import Memcg

#: How often settled() makes sure of a flush anew. The kernel's flusher spoils one in hundreds, and not two in a row.
TRIES = 5

#: What the kfuncs return for an index that they do not take: (unsigned long)-1.
ULONG_MAX = (1 << 64) - 1
#: The ends of the range of an index, a C int.
INT_MIN, INT_MAX = -(1 << 31), (1 << 31) - 1


@dataclass(frozen=True, slots=True)
class Call:
    """One kfunc call of a batch: an operation of ``enum call_op`` and, where it takes one, an index."""

    operation: str
    index: int = 0


#: How many updates a flush would find: no kfunc, but a look into the memcg.
PENDING = Call("PENDING")


class NoMemcg(Exception):
    """bpf_get_mem_cgroup() or bpf_get_root_mem_cgroup() returned NULL."""


class KfuncMissing(Exception):
    """The kernel lacks the kfunc."""


class NoCount(Exception):
    """The kernel does not keep its count of pending updates where kfuncs.bpf.c looks for it."""


class Killed(Exception):
    """The kernel killed the process that called a kfunc: it oopsed there."""


class Kfuncs:
    """The kfuncs of one running kernel.

    ``memcg`` is a Memcg, or None for the root memcg as bpf_get_root_mem_cgroup() returns it. Values are the kfunc's
    own, as unsigned 64-bit numbers; nothing is converted. Every call gets the memcg and puts it again.
    Raises NoMemcg when there is none to get, KfuncMissing when the kernel lacks the kfunc.
    """

    def __init__(self, target: Target, program: Path) -> None:
        self._target = target
        #: How many faults settled() had workers take so far.
        self.stirred = 0
        self._handle = target.call_within(30, bpf.open_object, target.file(program))
        target.call_within(30, bpf.load, self._handle, ["run_calls"])
        self._operations = target.call(bpf.object_enum, self._handle, "call_op")
        self._errors = target.call(bpf.object_enum, self._handle, "call_error")

    def usage(self, memcg: Memcg | None) -> int:
        """bpf_mem_cgroup_usage(): bytes."""
        return self.batch(memcg, [Call("USAGE")])[0]

    def page_state(self, memcg: Memcg | None, item: int) -> int:
        """bpf_mem_cgroup_page_state(): in the item's own output unit, as of the last flush."""
        return self.batch(memcg, [Call("PAGE_STATE", item)])[0]

    def vm_events(self, memcg: Memcg | None, event: int) -> int:
        """bpf_mem_cgroup_vm_events(): a count, as of the last flush."""
        return self.batch(memcg, [Call("VM_EVENTS", event)])[0]

    def memory_events(self, memcg: Memcg | None, event: int) -> int:
        """bpf_mem_cgroup_memory_events(): a count, live."""
        return self.batch(memcg, [Call("MEMORY_EVENTS", event)])[0]

    def flush_stats(self, memcg: Memcg | None) -> None:
        """bpf_mem_cgroup_flush_stats(): bring this subtree's values up to date, if enough is pending."""
        self.batch(memcg, [Call("FLUSH_STATS")])

    def flushed(self, memcg: Memcg | None, *calls: Call) -> list[int]:
        """Flush, then make the calls, in one run of the program: a value for each."""
        return self.batch(memcg, [Call("FLUSH_STATS"), *calls])[1:]

    def settled(
        self,
        memcg: Memcg | None,
        *calls: Call,
        busy: Memcg | None = None,
        then: Callable[[], object] = lambda: None,
    ) -> list[int]:
        """Make the calls after a flush of all that was done before, to the last update: a value for each.

        The worker of ``busy``, a memcg below, or else of the memcg itself makes enough updates for the flush not to be
        a no-op; after that comes ``then``. The kernel's own flusher may forget those updates, and all that was done
        since it read the values (see :class:`kfunctest.tolerances.Rounds`). Then a flush leaves as many pending as it
        found, and everything is done anew. After TRIES the values are returned as they are, stale or not.

        In the run of the program that flushes nothing comes between, but what other CPUs do in a few instructions.
        """
        values: list[int] = []
        worker = busy or memcg
        assert worker is not None, "no worker lives in root"
        for _ in range(TRIES):
            stir = worker.stir if worker is memcg else worker.stir_ancestors
            self.stirred += stir(self._target.cpus)
            then()
            try:
                found, _, left, *values = self.batch(memcg, [PENDING, Call("FLUSH_STATS"), PENDING, *calls])
            except NoCount:
                return self.flushed(memcg, *calls)
            if left < found:
                break
            worker.stat_below(memcg)
        return values

    def batch(self, memcg: Memcg | None, calls: Sequence[Call]) -> list[int]:
        """Make the calls in order on one memcg, in one run of the program, and return a value for each."""
        return self._values(memcg, calls, self._target.call(bpf.run_calls, *self._request(memcg, calls)))

    def batch_apart(self, memcg: Memcg | None, calls: Sequence[Call]) -> list[int]:
        """What :meth:`batch` does, in a process of the guest that may be lost. Raises Killed when an oops killed it."""
        answer = self._target.call(bpf.run_calls_apart, *self._request(memcg, calls))
        if isinstance(answer, int):
            raise Killed(f"the process that called {', '.join(map(str, calls))} was killed by signal {answer}")
        return self._values(memcg, calls, answer)

    def _request(self, memcg: Memcg | None, calls: Sequence[Call]) -> tuple[int, bool, int, list[tuple[int, int]]]:
        pairs = [(self._operations[f"CALL_{call.operation}"], call.index) for call in calls]
        return self._handle, memcg is None, 0 if memcg is None else memcg.id, pairs

    def _values(self, memcg: Memcg | None, calls: Sequence[Call], answer: tuple[int, int, list[int]]) -> list[int]:
        error, failed, values = answer
        name = next(name for name, value in self._errors.items() if value == error)
        if name == "CALL_OK":
            return values
        if name == "CALL_NO_MEMCG":
            raise NoMemcg(f"no memcg for {memcg.path if memcg else 'root'}")
        if name == "CALL_NO_COUNT":
            raise NoCount("mem_cgroup.vmstats has no stats_updates")
        if name == "CALL_NO_KFUNC":
            missing = calls[failed].operation.lower() if failed < len(calls) else "get, put or get_root"
            raise KfuncMissing(f"this kernel lacks the kfunc for {missing}")
        raise AssertionError(f"{name} from kfuncs.bpf.c for {memcg.path if memcg else 'root'}, call {failed}")
