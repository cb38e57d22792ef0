# SPDX-License-Identifier: GPL-2.0-only
"""A memcg's counters as the kernel keeps them, read and set past the code of the kfuncs."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from kfunctest.guest import memory
from kfunctest.target.bpf import BpfObject
from kfunctest.target.memcg import Memcg
from kfunctest.target.protocol import Target

#: What stands in an index for an enumerator that memcg does not track: U8_MAX, mm/memcontrol.c.
UNTRACKED = 255


@dataclass(frozen=True, slots=True)
class Counters:
    """One look at all of them: counters by their place, places by enumerator, and addresses by counter."""

    usage: int
    state: tuple[int, ...]
    events: tuple[int, ...]
    memory_events: tuple[int, ...]
    state_index: bytes
    events_index: bytes
    at: Mapping[str, int]

    def item(self, index: int) -> int:
        """An item of node_stat_item or memcg_stat_item, in the unit that it is kept in; it may be below 0."""
        return self.state[self.state_index[index]]

    def event(self, index: int) -> int:
        """A member of vm_event_item."""
        return self.events[self.events_index[index]]


@dataclass(frozen=True, slots=True)
class Values:
    """Values to set, by enumerator: items in the unit that they are kept in. ``usage``: pages."""

    items: Mapping[int, int]
    events: Mapping[int, int]
    memory_events: Mapping[int, int]
    usage: int


class RawCounters:
    """Reads and sets counters through selftests/bpf/raw_counters.bpf.c and /dev/mem."""

    def __init__(self, target: Target, program: BpfObject) -> None:
        self._target = target
        self._program = program.load("read_raw")

    def read(self, memcg: Memcg) -> Counters:
        """What the memcg's counters are now; those that are flushed as of the last flush."""
        at = self._program.run("read_raw", "raw_args", cgroup_id=memcg.id)
        assert at["retval"] == 0, f"raw_counters.bpf.c gave {at['retval']} for {memcg.path}: see its read_raw()"
        usage = self._program["usage"]
        assert isinstance(usage, int)
        return Counters(
            usage,
            self._words("state", "q"),
            self._words("events", "Q"),
            self._words("memory_events", "q"),
            self._bytes("state_index"),
            self._bytes("events_index"),
            at,
        )

    @contextmanager
    def holding(self, memcg: Memcg, values: Values) -> Iterator[None]:
        """Give the counters these values; what they were before, on leaving. Nothing may be charged meanwhile."""
        was = self.read(memcg)
        places = {was.at["usage"]: (values.usage, was.usage)}
        for index, value in values.items.items():
            places[was.at["state"] + 8 * was.state_index[index]] = value, was.item(index)
        for index, value in values.events.items():
            places[was.at["events"] + 8 * was.events_index[index]] = value, was.event(index)
        for index, value in values.memory_events.items():
            places[was.at["memory_events"] + 8 * index] = value, was.memory_events[index]
        try:
            self._write(was, {place: new for place, (new, _) in places.items()})
            yield
        finally:
            self._write(was, {place: old for place, (_, old) in places.items()})

    def _write(self, was: Counters, words: Mapping[int, int]) -> None:
        self._target.call(memory.write_words, list(words.items()), was.at["direct_map"])

    def _words(self, name: str, code: str) -> tuple[int, ...]:
        data = self._bytes(name)
        return struct.unpack(f"={len(data) // 8}{code}", data)

    def _bytes(self, name: str) -> bytes:
        value = self._program[name]
        assert isinstance(value, bytes)
        return value
