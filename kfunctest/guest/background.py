# SPDX-License-Identifier: GPL-2.0-only
"""What a kernel does by itself: asleep, so that no test measures it by accident, or frantic, so that each test would.

SETTINGS can be put to sleep. A test that is about one of them wakes it and puts it back; one whose values it changes
for good reasons has it asleep in a frantic machine, too (selftests/background.py). UNSETTABLE cannot be put to sleep.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress

from kfunctest.guest import affinity
from kfunctest.guest.cgroup import read_file, write_file

KHUGEPAGED = "/sys/kernel/mm/transparent_hugepage/khugepaged/scan_sleep_millisecs"
PROACTIVENESS = "/proc/sys/vm/compaction_proactiveness"
WRITEBACK = "/proc/sys/vm/dirty_writeback_centisecs"
DIRTY_EXPIRE = "/proc/sys/vm/dirty_expire_centisecs"


class Setting:
    """A file, its value ``asleep`` and ``frantic``, and ``why``: what is done, and where the kernel's source does it.

    ``thread``: what the names of the kernel's threads that do it begin with. ``safe``: somebody else's machine may have
    it asleep for as long as the tests take.
    """

    __slots__ = ("asleep", "frantic", "path", "safe", "thread", "why")

    def __init__(self, path: str, asleep: str, frantic: str, why: str, *, thread: str = "", safe: bool = True) -> None:
        self.path = path
        self.asleep = asleep
        self.frantic = frantic
        self.why = why
        self.thread = thread
        self.safe = safe


SETTINGS = (
    Setting(
        KHUGEPAGED,
        "100000000",
        "10",
        "khugepaged makes huge pages of small ones, with holes too: khugepaged_wait_work(), mm/khugepaged.c",
        thread="khugepaged",
    ),
    Setting(
        "/sys/kernel/mm/transparent_hugepage/khugepaged/alloc_sleep_millisecs",
        "100000000",
        "10",
        "it tries again when it got no huge page: khugepaged_alloc_sleep(), mm/khugepaged.c",
    ),
    Setting(
        PROACTIVENESS,
        "0",
        "100",
        "kcompactd moves pages together before anybody asks: should_proactive_compact_node(), mm/compaction.c",
        thread="kcompactd",
    ),
    Setting(
        "/proc/sys/vm/watermark_boost_factor",
        "0",
        "150000",
        "fragmentation raises the watermarks below which kswapd reclaims: boost_watermark(), mm/page_alloc.c",
    ),
    Setting(
        "/sys/kernel/mm/ksm/run",
        "0",
        "1",
        "ksmd merges pages of processes that offer theirs: ksm_scan_thread(), mm/ksm.c",
    ),
    Setting(
        WRITEBACK,
        "10000000",
        "1",
        "dirty pages are written to their disks: wb_check_old_data_flush(), fs/fs-writeback.c",
        safe=False,  # how much is lost in a crash is its owner's choice
    ),
    Setting(
        DIRTY_EXPIRE,
        "10000000",
        "1",
        "how old they are then: wb_writeback(), fs/fs-writeback.c",
        safe=False,
    ),
    Setting(
        "/proc/sys/vm/stat_interval",
        "100000",
        "1",
        "what CPUs count of pages is added up for the system: vmstat_shepherd(), mm/vmstat.c",
    ),
    Setting(
        "/proc/sys/kernel/numa_balancing",
        "0",
        "1",
        "pages are unmapped to see which node uses them, and moved there: task_numa_work(), kernel/sched/fair.c",
    ),
)

#: What cannot be put to sleep, and how the tests live with it.
UNSETTABLE = {
    "periodic flusher": "flushes all statistics every 2 s, by a deferrable timer (flush_memcg_stats_dwork(), "
    "mm/memcontrol.c): Kfuncs.settled() and measure.Rounds notice it",
    "kswapd": "reclaims when free memory is below the watermarks (balance_pgdat(), mm/vmscan.c): a VM has several "
    "times what a test takes",
    "kcompactd on demand": "moves pages together for want of a large one: wakeup_kcompactd(), mm/compaction.c",
    "udev": "starts processes when a disk comes: guests run none (kfunctest/guest/boot/udevadm)",
}

#: What keeps a CPU of a frantic machine busy. Every now and then it adds up what CPUs counted, for which stat_interval
#: has no less than a second. Only the shell's own commands: no process comes or goes.
BUSY = """while :; do
    i=0; while [ $i -lt 100000 ]; do i=$((i + 1)); done
    echo 1 >/proc/sys/vm/stat_refresh
done 2>/dev/null"""


def put_to_sleep(*, ours: bool) -> dict[str, str]:
    """Put to sleep all that may be, more of it where the machine is ``ours`` alone. Returns what restore() takes."""
    return change({setting.path: setting.asleep for setting in SETTINGS if ours or setting.safe})


def hold(paths: list[str], ours: bool = True) -> dict[str, str]:
    """Have these of SETTINGS asleep until restore() gets what this returns; what their threads were at is over then."""
    held = [setting for setting in SETTINGS if setting.path in paths and (ours or setting.safe)]
    before = change({setting.path: setting.asleep for setting in held})
    for setting in held:
        if setting.thread and setting.path in before:  # else it was asleep
            _wait_for(setting.thread)
    return before


def make_frantic() -> None:
    """Have all of SETTINGS done without a pause, and keep each CPU busy as long as the machine lives.

    By processes of the lowest priority: the CPUs never sleep, and deferrable timers are in time. At the usual priority
    each of a test's many changes of process would wait for its turn, and a test take several times as long.
    """
    change({setting.path: setting.frantic for setting in SETTINGS})
    for cpu in sorted(os.sched_getaffinity(0)):
        os.setpriority(os.PRIO_PROCESS, affinity.start_hog(cpu, BUSY), 19)


def change(values: dict[str, str]) -> dict[str, str]:
    """Give these files these values. Returns those that they had, of files that there are and that had others.

    So of two runs on one machine the first gives back what was there before both, whichever ends last.
    """
    before = {}
    for path, value in values.items():
        with suppress(OSError):  # not in this kernel; or on somebody's machine, not to be written even by root
            if (was := read_file(path).strip()) != value:
                write_file(path, value)
                before[path] = was
    return before


def restore(before: dict[str, str]) -> list[str]:
    """Give back the values that change() found. Returns the files of which that failed."""
    failed = []
    for path, value in before.items():
        try:
            write_file(path, value)
        except OSError:
            failed.append(path)
    return failed


def values() -> dict[str, str | None]:
    """The value of each of SETTINGS now, None where this kernel has no such file."""
    found: dict[str, str | None] = dict.fromkeys(setting.path for setting in SETTINGS)
    for path in found:
        if os.path.exists(path):
            found[path] = read_file(path).strip()
    return found


def _wait_for(thread: str) -> None:
    """Wait until the kernel's threads of which this is how the names begin sleep: waiting for work, they can be woken.

    At work they run or wait uninterruptibly. khugepaged is woken by who writes its pause, and looks around once more.
    """
    for pid in os.listdir("/proc"):
        if pid.isdigit() and _stat(pid)[0].startswith(thread):
            while _stat(pid)[1] not in ("S", ""):
                time.sleep(0.01)


def _stat(pid: str) -> tuple[str, str]:
    """A process's name and state; empty where it is gone."""
    try:
        name, _, rest = read_file(f"/proc/{pid}/stat").partition("(")[2].rpartition(") ")
    except OSError:
        return "", ""
    return name, rest[:1]
