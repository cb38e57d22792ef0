# SPDX-License-Identifier: GPL-2.0-only
"""What each revision of the memcg BPF kfuncs promises, as data.

A contract is identified from the names in a kernel's BTF or declared by name. It is never chosen by a version string
nor by behaviour: behaviour is what is judged, so it may not choose its own judge.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, replace
from typing import Final

from kfunctest.errors import SpecError

GET_ROOT: Final = "bpf_get_root_mem_cgroup"
GET: Final = "bpf_get_mem_cgroup"
PUT: Final = "bpf_put_mem_cgroup"
VM_EVENTS: Final = "bpf_mem_cgroup_vm_events"
MEMORY_EVENTS: Final = "bpf_mem_cgroup_memory_events"
USAGE: Final = "bpf_mem_cgroup_usage"
PAGE_STATE: Final = "bpf_mem_cgroup_page_state"
FLUSH_STATS: Final = "bpf_mem_cgroup_flush_stats"

#: Every kfunc that any revision has (mm/bpf_memcontrol.c, the set bpf_memcontrol_kfuncs).
ALL: Final = frozenset({GET_ROOT, GET, PUT, VM_EVENTS, MEMORY_EVENTS, USAGE, PAGE_STATE, FLUSH_STATS})


@dataclass(frozen=True, slots=True)
class Contract:
    """One revision: the kfuncs it has, and where it behaves differently from others.

    * ``vm_events_checked``: an index past ``NR_VM_EVENT_ITEMS``, or a negative one, gives -1. Without the check it is
      an out-of-bounds read, so no test may pass one.
    * ``untracked_is_minus_one``: an item in range that memcg does not track gives -1. Otherwise it gives 0, and the
      kernel warns once (``missing stat item``).
    * ``root_usage_is_counter``: the root's usage is its page counter. Otherwise it is
      ``(NR_FILE_PAGES + NR_ANON_MAPPED) * PAGE_SIZE``.
    """

    name: str
    kfuncs: frozenset[str]
    vm_events_checked: bool
    untracked_is_minus_one: bool
    root_usage_is_counter: bool

    def missing(self, found: Set[str]) -> frozenset[str]:
        """The kfuncs that this contract promises and ``found`` lacks; not empty means that the kernel fails."""
        return self.kfuncs - found

    def __str__(self) -> str:
        return self.name


#: The series as posted on 19 December 2025. Never guessed, only declared.
V2: Final = Contract(
    name="v2",
    kfuncs=ALL - {MEMORY_EVENTS},
    vm_events_checked=False,
    untracked_is_minus_one=False,
    root_usage_is_counter=False,
)

#: As merged for Linux 7.0.
V7_0: Final = Contract(
    name="v7.0",
    kfuncs=ALL,
    vm_events_checked=True,
    untracked_is_minus_one=True,
    root_usage_is_counter=True,
)

#: What a kernel without ``memory_events`` is judged by, unless another contract is declared.
V7_0_WITHOUT_MEMORY_EVENTS: Final = replace(V7_0, name="v7.0 less memory_events", kfuncs=ALL - {MEMORY_EVENTS})

#: The contracts that can be declared.
NAMED: Final = (V2, V7_0)


def identify(found: Set[str]) -> Contract | None:
    """The contract of a kernel in whose BTF the functions ``found`` are; other names in it are ignored.

    None means that the kfuncs are absent. A contract returned here may have ``missing(found)`` kfuncs.
    """
    present = ALL & found
    if not present:
        return None
    return V7_0 if MEMORY_EVENTS in present else V7_0_WITHOUT_MEMORY_EVENTS


def by_name(name: str) -> Contract:
    """The contract declared as ``name``. Raises SpecError that lists the known names."""
    for contract in NAMED:
        if contract.name == name:
            return contract
    known = ", ".join(contract.name for contract in NAMED)
    raise SpecError(f"there is no contract {name!r}", remedy=f"the known ones are {known}")
