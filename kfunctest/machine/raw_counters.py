# SPDX-License-Identifier: GPL-2.0-only
"""A memcg's counters as the kernel keeps them, read and set past the code of the kfuncs."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from kfunctest.guest import devmem
from kfunctest.machine.bpf import BpfObject
from kfunctest.machine.interface import Target
from kfunctest.machine.memcg import Memcg


class NoCounter(Exception):
    """The kernel keeps no counter for an enumerator: its own index has no place for it."""


@dataclass(frozen=True, slots=True)
class Counters:
    """One look at all of them: counters by their place, places by enumerator, and addresses by counter.

    Lookups raise NoCounter. What an index has for an enumerator that memcg does not track is U8_MAX (mm/memcontrol.c),
    which is no place in an array of the length that the kernel's BTF says.
    """

    usage: int
    state: tuple[int, ...]
    events: tuple[int, ...]
    memory_events: tuple[int, ...]
    state_index: bytes
    events_index: bytes
    at: Mapping[str, int]

    def item(self, index: int) -> int:
        """An item of node_stat_item or memcg_stat_item, in the unit that it is kept in; it may be below 0."""
        return self.state[self.state_place(index)]

    def event(self, index: int) -> int:
        """A member of vm_event_item."""
        return self.events[self.event_place(index)]

    def state_place(self, index: int) -> int:
        """Where in ``state`` an item of node_stat_item or memcg_stat_item is."""
        return _checked(self.state_index[index], self.state, f"item {index} of node_stat_item or memcg_stat_item")

    def event_place(self, index: int) -> int:
        """Where in ``events`` a member of vm_event_item is."""
        return _checked(self.events_index[index], self.events, f"event {index} of vm_event_item")

    def memory_event_place(self, index: int) -> int:
        """Where in ``memory_events`` a member of memcg_memory_event is."""
        return _checked(index, self.memory_events, f"event {index} of memcg_memory_event")


def _checked(place: int, counters: Sequence[int], what: str) -> int:
    if not 0 <= place < len(counters):
        raise NoCounter(f"the kernel keeps {len(counters)} counters, none of them for {what}: its index says {place}")
    return place


@dataclass(frozen=True, slots=True)
class Values:
    """Values to set, by enumerator: items in the unit that they are kept in. ``usage``: pages."""

    items: Mapping[int, int]
    events: Mapping[int, int]
    memory_events: Mapping[int, int]
    usage: int


@dataclass(frozen=True, slots=True)
class CpuCounters:
    """What one CPU counted in a memcg, by the places that Counters has, and the arrays' addresses."""

    state: tuple[int, ...]
    events: tuple[int, ...]
    at: Mapping[str, int]


class RawCounters:
    """Reads and sets counters through selftests/bpf/raw_counters.bpf.c and /dev/mem."""

    def __init__(self, target: Target, program: BpfObject) -> None:
        self._target = target
        self._program = program.load("read_raw", "read_cpu")

    def read(self, memcg: Memcg) -> Counters:
        """What the memcg's counters are now; those that are flushed as of the last flush."""
        at = self._run("read_raw", memcg)
        usage = self._program["usage"]
        assert isinstance(usage, int)
        return Counters(
            usage,
            self._words("state", "q", at["state_bytes"]),
            self._words("events", "Q", at["events_bytes"]),
            self._words("memory_events", "q", at["memory_events_bytes"]),
            self._bytes("state_index"),
            self._bytes("events_index"),
            at,
        )

    def read_cpu(self, memcg: Memcg, cpu: int) -> CpuCounters:
        """What this CPU counted in the memcg, itself and since it was made: no flush is needed to see it."""
        at = self._run("read_cpu", memcg, cpu=cpu)
        state, events = self._words("state", "q", at["state_bytes"]), self._words("events", "Q", at["events_bytes"])
        return CpuCounters(state, events, at)

    @contextmanager
    def holding(self, memcg: Memcg, values: Values) -> Iterator[None]:
        """Give the counters these values; what they were before, on leaving. Nothing may be charged meanwhile."""
        was = self.read(memcg)
        places = {was.at["usage"]: (values.usage, was.usage)}
        for index, value in values.items.items():
            places[was.at["state"] + 8 * was.state_place(index)] = value, was.item(index)
        for index, value in values.events.items():
            places[was.at["events"] + 8 * was.event_place(index)] = value, was.event(index)
        for index, value in values.memory_events.items():
            place = was.memory_event_place(index)
            places[was.at["memory_events"] + 8 * place] = value, was.memory_events[place]
        try:
            self._write(was.at, {place: new for place, (new, _) in places.items()})
            yield
        finally:
            self._write(was.at, {place: old for place, (_, old) in places.items()})

    def add_to_cpu(self, memcg: Memcg, cpu: int, state: Sequence[int], events: Sequence[int]) -> None:
        """Add to each counter of one CPU, in the arrays' order. Nothing may be counted there meanwhile."""
        was = self.read_cpu(memcg, cpu)
        assert (len(state), len(events)) == (len(was.state), len(was.events)), "one number for each counter"
        words = {
            was.at["state"] + 8 * at: old + new for at, (old, new) in enumerate(zip(was.state, state, strict=True))
        }
        words |= {
            was.at["events"] + 8 * at: old + new for at, (old, new) in enumerate(zip(was.events, events, strict=True))
        }
        self._write(was.at, words)

    def set_pending(self, memcg: Memcg, updates: int) -> None:
        """Let the memcg take so many updates to wait for a flush."""
        was = self.read(memcg)
        self._write(was.at, {was.at["pending"]: updates})

    def _run(self, program: str, memcg: Memcg, cpu: int = 0) -> Mapping[str, int]:
        at = self._program.run(program, "raw_args", cgroup_id=memcg.id, cpu=cpu)
        if at["retval"]:
            raise NoCounter(f"raw_counters.bpf.c gave {at['retval']} for {memcg.path}: see its {program}()")
        return at

    def _write(self, at: Mapping[str, int], words: Mapping[int, int]) -> None:
        unsigned = [(place, value % (1 << 64)) for place, value in words.items()]
        self._target.call(devmem.write_words, unsigned, at["direct_map"], at["page_table"])

    def _words(self, name: str, code: str, size: int) -> tuple[int, ...]:
        return struct.unpack(f"={size // 8}{code}", self._bytes(name)[:size])

    def _bytes(self, name: str) -> bytes:
        value = self._program[name]
        assert isinstance(value, bytes)
        return value
