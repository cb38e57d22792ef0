# SPDX-License-Identifier: GPL-2.0-only
"""The code that is to be reached, and what was seen of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

#: All of this file.
WHOLE: Final = "mm/bpf_memcontrol.c"
#: Of this one, what the kfuncs rest on: what they call, and what fills the counters that they read.
BELOW: Final = "mm/memcontrol.c"
FUNCTIONS: Final = (
    *("memcg_vm_event_item_valid", "memcg_events", "memcg_events_index", "init_memcg_events"),
    *("memcg_stat_item_valid", "memcg_page_state", "memcg_stats_index", "init_memcg_stats"),
    *("memcg_page_state_output", "memcg_page_state_output_unit", "memcg_page_state_unit"),
    *("mem_cgroup_flush_stats", "__mem_cgroup_flush_stats", "memcg_vmstats_needs_flush"),
    *("mem_cgroup_css_rstat_flush", "mem_cgroup_stat_aggregate", "memcg_rstat_updated", "memcg_state_val_in_pages"),
    *("mod_memcg_state", "__mod_memcg_state", "mod_memcg_lruvec_state", "__mod_memcg_lruvec_state"),
    *("mod_lruvec_state", "count_memcg_events", "__memcg_memory_event"),
)

#: A function's definition in the kernel's style: it begins in the first column, and so do its braces.
_DEFINITION = re.compile(r"^[a-z_][^;{}#/]*?\b(\w+)\([^;{}]*\)\n\{\n.*?^\}$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of code that can run: how often it did, and its branches; ``text`` is what stands there."""

    file: str
    number: int
    function: str
    text: str
    count: int
    branches: tuple[int, ...]

    @property
    def untaken(self) -> int:
        """How many of its branches were never seen to be taken."""
        return sum(1 for count in self.branches if not count)

    @property
    def missing(self) -> str:
        """What of it was never seen to run, in words; empty where nothing is missing."""
        if not self.count:
            return "never run"
        taken = len(self.branches) - self.untaken
        return f"{taken} of {len(self.branches)} branches taken" if self.untaken else ""


def absent(lines: Sequence[Line]) -> list[str]:
    """What is to be reached and does not occur in ``lines``: the file, or functions of the one below."""
    files = {line.file for line in lines}
    functions = {line.function for line in lines if line.file == BELOW}
    return [*({WHOLE} - files), *(name for name in FUNCTIONS if name not in functions)]


def functions(source: str) -> dict[int, str]:
    """The function that each line stands in, by its number.

    The compiler's notes name the function that a line ended up in, which is the caller where it was inlined.
    """
    found = {}
    for function in _DEFINITION.finditer(source):
        first = source.count("\n", 0, function.start()) + 1
        for number in range(first, first + function[0].count("\n") + 1):
            found[number] = function[1]
    return found
