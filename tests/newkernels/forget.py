# SPDX-License-Identifier: GPL-2.0-only
"""A plugin of pytest's that takes enumerators out of the tables: whatever kernel is judged then has some of tomorrow's.

One of each enum, tracked by memcg and not; loaded before kfunctest/statitems.py is.
"""

from __future__ import annotations

from typing import Final

import pytest

from kfunctest import statkeys

#: Keys of memory.stat and memory.events, and what stands behind them.
FORGOTTEN: Final = {
    "vmalloc": "NR_VMALLOC",
    "zswap_incomp": "MEMCG_ZSWAP_INCOMP",
    "pglazyfreed": "PGLAZYFREED",
    "sock_throttled": "MEMCG_SOCK_THROTTLED",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Forget them, as soon as this is a plugin; a test that imports it as a module does not."""
    for key in FORGOTTEN:
        for table in (statkeys.PAGE_STATE, statkeys.VM_EVENTS, statkeys.MEMORY_EVENTS):
            table.pop(key, None)
