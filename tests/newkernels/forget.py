# SPDX-License-Identifier: GPL-2.0-only
"""A plugin of pytest's that takes enumerators out of the tables: whatever kernel is judged then has some of tomorrow's.

One of each enum, tracked by memcg and not; loaded before kfunctest/statitems.py is.
"""

from __future__ import annotations

from typing import Final

from kfunctest import statkeys

#: Keys of memory.stat and memory.events, and what stands behind them.
FORGOTTEN: Final = {
    "vmalloc": "NR_VMALLOC",
    "zswap_incomp": "MEMCG_ZSWAP_INCOMP",
    "pglazyfreed": "PGLAZYFREED",
    "sock_throttled": "MEMCG_SOCK_THROTTLED",
}

for _key in FORGOTTEN:
    for _table in (statkeys.PAGE_STATE, statkeys.VM_EVENTS, statkeys.MEMORY_EVENTS):
        _table.pop(_key, None)
