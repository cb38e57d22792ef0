# SPDX-License-Identifier: GPL-2.0-only
"""What a VM takes beyond its own memory is told from the processes of a /proc that is made up."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

from kfunctest.bench.memory import Watched, below, beyond

MiB = 1 << 20
SMAPS = """\
7f0000000000-7f0040000000 rw-p 00000000 00:00 0
Size:            1048576 kB
KernelPageSize:        4 kB
Rss:              300000 kB
Pss:              300000 kB
Pss_Dirty:        300000 kB
VmFlags: rd wr mr mw me ac
7f0050000000-7f0060000000 rwxp 00000000 00:00 0                          [made up]
Size:             262144 kB
Rss:               20480 kB
Pss:               {share} kB
Pss_Dirty:         20480 kB
"""


def process(root: Path, pid: int, parent: int, share: int) -> None:
    (root / str(pid)).mkdir()
    (root / str(pid) / "stat").write_text(f"{pid} (odd ) 1 name) S {parent} 1 1")
    (root / str(pid) / "smaps").write_text(SMAPS.format(share=share))


def test_the_guests_own_memory_is_left_out(tmp_path: Path) -> None:
    process(tmp_path, 7, 1, 10240)
    assert beyond(tmp_path / "7", 1024 * MiB) == 10 * MiB
    assert beyond(tmp_path / "7", 512 * MiB) == 10 * MiB + 300000 * 1024


def test_all_processes_below_us_count_and_the_largest_sum_is_kept(tmp_path: Path) -> None:
    process(tmp_path, 7, 1, 0)
    process(tmp_path, 8, 7, 10240)
    process(tmp_path, 9, 8, 20480)
    process(tmp_path, 10, 1, 40960)
    watched = Watched(1024 * MiB, tmp_path)
    watched.look(7)
    (tmp_path / "9" / "smaps").unlink()
    watched.look(7)
    assert below(7, tmp_path) == [8, 9]
    assert watched.peak == 30 * MiB


def test_a_mapping_of_our_own_is_seen() -> None:
    """By a real /proc: 64 MiB that are touched are there, and are gone when they are unmapped."""
    size = 64 * MiB
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as mapping:
        for at in range(0, size, mmap.PAGESIZE):
            mapping[at] = 1
        process = Path("/proc", str(os.getpid()))
        ours = beyond(process, 0)
    assert ours > size
    assert ours - beyond(process, 0) >= size // 2
