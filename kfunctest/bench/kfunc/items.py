# SPDX-License-Identifier: GPL-2.0-only
"""Which items are read: all that a kernel tracks, and as many as the patch's experiment read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kfunctest.kernels.model import Kernel
from kfunctest.statitems import tracked
from kfunctest.statkeys import PAGE_STATE, VM_EVENTS

#: The patch's experiment read 44 items "for node_stat_item, memcg_stat_item, and vm_event_item types"; which ones was
#: never published. These are as many: what memory.stat printed then on any kernel, its events less two. Nine of them,
#: all that scans, steals and refills, were events then and are states now.
PATCHS: Final = (
    *("NR_ANON_MAPPED", "NR_FILE_PAGES", "NR_KERNEL_STACK_KB", "NR_PAGETABLE", "NR_SECONDARY_PAGETABLE", "NR_SHMEM"),
    *("NR_FILE_MAPPED", "NR_FILE_DIRTY", "NR_WRITEBACK", "NR_SWAPCACHE", "NR_ANON_THPS", "NR_FILE_THPS"),
    *("NR_SHMEM_THPS", "NR_INACTIVE_ANON", "NR_ACTIVE_ANON", "NR_INACTIVE_FILE", "NR_ACTIVE_FILE", "NR_UNEVICTABLE"),
    *("NR_SLAB_RECLAIMABLE_B", "NR_SLAB_UNRECLAIMABLE_B", "WORKINGSET_REFAULT_ANON", "WORKINGSET_REFAULT_FILE"),
    *("WORKINGSET_ACTIVATE_ANON", "WORKINGSET_ACTIVATE_FILE", "WORKINGSET_RESTORE_ANON", "WORKINGSET_RESTORE_FILE"),
    *("WORKINGSET_NODERECLAIM", "MEMCG_KMEM", "MEMCG_PERCPU_B", "MEMCG_SOCK", "NR_VMALLOC"),
    *("PGSCAN_KSWAPD", "PGSCAN_DIRECT", "PGSCAN_KHUGEPAGED", "PGSCAN_PROACTIVE", "PGSTEAL_KSWAPD", "PGSTEAL_DIRECT"),
    *("PGSTEAL_KHUGEPAGED", "PGSTEAL_PROACTIVE", "PGREFILL", "PGFAULT", "PGMAJFAULT", "PGACTIVATE", "PGDEACTIVATE"),
)
#: The name that an item of PATCHS has in older kernels.
_OLDER: Final = {"NR_VMALLOC": "MEMCG_VMALLOC"}
_KEYS: Final = {name: key for key, name in {**PAGE_STATE, **VM_EVENTS}.items()} | {"MEMCG_VMALLOC": "vmalloc"}


@dataclass(frozen=True, slots=True)
class Items:
    """Items to read: names, in the order in which the program reads them, states first, and their numbers by BTF."""

    names: tuple[str, ...]
    states: tuple[int, ...]
    events: tuple[int, ...]

    def by_key(self, values: list[int]) -> dict[str, int]:
        """Values in the items' order as memory.stat would print them, by key; of what it does not print, nothing."""
        return {_KEYS[name]: value for name, value in zip(self.names, values, strict=True) if name in _KEYS}


def every(kernel: Kernel) -> Items:
    """All items that memcg tracks in this kernel. Where its configuration is not known, all that may be tracked."""
    states, events = _enums(kernel)
    found = tracked(states, events, lambda option: kernel.config is None or kernel.option(option) is not None)
    return _items(kernel, [*found.states, *found.events])


def patchs(kernel: Kernel) -> Items:
    """Those of PATCHS that this kernel tracks."""
    known = set(every(kernel).names)
    return _items(kernel, [name for one in PATCHS for name in (one, _OLDER.get(one)) if name in known])


def _items(kernel: Kernel, names: list[str]) -> Items:
    states, events = _enums(kernel)
    through_states = sorted((states[name], name) for name in set(names) & states.keys())
    through_events = sorted((events[name], name) for name in set(names) & events.keys() - states.keys())
    return Items(
        tuple(name for _, name in through_states + through_events),
        tuple(number for number, _ in through_states),
        tuple(number for number, _ in through_events),
    )


def _enums(kernel: Kernel) -> tuple[dict[str, int], dict[str, int]]:
    states = kernel.facts.enum("node_stat_item") | kernel.facts.enum("memcg_stat_item")
    return states, kernel.facts.enum("vm_event_item")
