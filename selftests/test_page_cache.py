# SPDX-License-Identifier: GPL-2.0-only
"""Values of page cache on a real file system: cached, dirty, written back, mapped, read again, and gone.

virtme-ng's writable folders are tmpfs, whose pages are shmem. So the file lives on an ext2 on a disk in memory.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from conftest import Items
from kfunctest.guest import agent, cgroup, disks
from kfunctest.guest.background import DIRTY_EXPIRE, WRITEBACK
from kfunctest.kernels.model import Kernel
from kfunctest.machine.kfuncs import Kfuncs
from kfunctest.machine.memcg import Memcg, MiB
from kfunctest.machine.vm import Vm
from kfunctest.plugin.applicable import needs
from kfunctest.tolerances import WORKER_PAGES, list_held_back, settled_slack
from selftests.background import asleep

pytestmark = [pytest.mark.slow_boot, pytest.mark.destructive("mounts a disk of its own")]

FOLDER = "/run/kfunctest-ext2"
FILE = f"{FOLDER}/file"
SIZE = 4 * MiB
#: Pages that need a node of the page cache's index each.
SPARSE = 1024


@pytest.fixture(autouse=True)
def file_system(vm: Vm, kernel: Kernel) -> Iterator[None]:
    """An ext2, which ext4's driver can mount as well. What is dirty stays so until a test writes it back."""
    needs(kernel.option("CONFIG_ZRAM") in ("y", "m"), "CONFIG_ZRAM is not set")
    drivers = ("CONFIG_EXT2_FS", "CONFIG_EXT4_FS")
    needs(any(kernel.option(option) in ("y", "m") for option in drivers), "CONFIG_EXT2_FS is not set")
    with asleep(vm, WRITEBACK, DIRTY_EXPIRE):
        device = vm.call_within(30, disks.add, 4 * SIZE)
        vm.call_within(30, disks.mount, device, FOLDER)
        yield
    if not vm.lost:
        vm.call_within(30, disks.unmount, FOLDER)
        vm.call(disks.remove, device)


@pytest.fixture
def worker(memcg: Memcg, file_system: None) -> Iterator[Memcg]:
    """The memcg with its worker, which is gone, and its mappings, before the file system is."""
    memcg.start()
    yield memcg
    memcg.kill()


def read(kfuncs: Kfuncs, memcg: Memcg, items: Items, *names: str) -> dict[str, int]:
    """The items after a flush of all that was done before."""
    return dict(zip(names, kfuncs.settled(memcg, *map(items.call, names)), strict=True))


@pytest.mark.kfunc(name="page_state")
def test_a_file_is_cached_dirty_clean_mapped_and_gone(vm: Vm, worker: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    names = ("NR_FILE_PAGES", "NR_FILE_DIRTY", "NR_WRITEBACK", "NR_FILE_MAPPED", "NR_SHMEM")
    start = read(kfuncs, worker, items, *names)
    slack = settled_slack(vm.page_size)  # the file system's own blocks, too

    def judge(step: str, cached: int, dirty: int, mapped: int) -> None:
        now = read(kfuncs, worker, items, *names)
        grown = {name: now[name] - start[name] for name in names}
        expected = dict(zip(names, (cached, dirty, 0, mapped, 0), strict=True))
        off = {name: grown[name] for name in names if abs(grown[name] - expected[name]) > slack}
        assert not off, f"{worker.path}, {step}: expected {expected} +- {slack} bytes more than at first, seen {off}"

    worker.write_file(FILE, SIZE)
    judge("the file is written", SIZE, SIZE, 0)
    worker.do("sync")
    judge("the file is written back", SIZE, 0, 0)
    worker.do("map_dirty", FILE, SIZE)
    judge("the file is mapped and written to", SIZE, SIZE, SIZE)
    worker.do("release_areas")
    worker.do("sync")
    judge("the file is unmapped and written back", SIZE, 0, 0)
    worker.do("remove_file", FILE)
    judge("the file is removed", 0, 0, 0)


@pytest.mark.kfunc(name="page_state")
def test_cached_files_are_on_the_lists_that_reclaim_walks(vm: Vm, worker: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    names = ("NR_INACTIVE_FILE", "NR_ACTIVE_FILE")
    start = sum(read(kfuncs, worker, items, *names).values())
    worker.write_file(FILE, SIZE)
    grown = sum(read(kfuncs, worker, items, *names).values()) - start
    slack = settled_slack(vm.page_size) + list_held_back(vm.cpus, vm.page_size)
    assert abs(grown - SIZE) <= slack, (
        f"{' + '.join(names)} of {worker.path}: {SIZE} bytes were written, expected that +- {slack}, seen {grown}"
    )


@pytest.mark.kfunc(name="page_state")
def test_what_is_remembered_of_pages_that_went_is_reclaimed_and_counted(
    vm: Vm, worker: Memcg, kfuncs: Kfuncs, items: Items
) -> None:
    """The page cache's index keeps a node for pages that were reclaimed, until the memory that these take is wanted.

    As many as the system counts, for whom the pages were.
    """
    name = "WORKINGSET_NODERECLAIM"
    before = vm.call(agent.read_numbers, "/proc/vmstat")
    pages = worker.do("map_sparse", FILE, SPARSE, 64)
    worker.reclaim(pages * vm.page_size)
    vm.call(cgroup.write_file, "/proc/sys/vm/drop_caches", "2")
    seen = read(kfuncs, worker, items, name)[name]
    worker.do("remove_file", FILE)
    vm.call(cgroup.write_file, "/proc/sys/vm/stat_refresh", "1")
    expected = vm.call(agent.read_numbers, "/proc/vmstat")[name.lower()] - before[name.lower()]
    assert 1 <= seen <= expected, f"{name} of {worker.path}: expected 1 to {expected}, what the system counts, {seen}"


@pytest.mark.kfunc(name="vm_events")
def test_faults_that_read_from_a_disk_are_major(vm: Vm, worker: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    """As many as the process's own statistics say."""
    worker.write_file(FILE, SIZE)
    worker.do("sync")
    before = read(kfuncs, worker, items, "PGMAJFAULT", "PGFAULT")
    taken = worker.do("fault_in_anew", FILE, SIZE)
    pages = SIZE // vm.page_size
    assert taken >= pages // 2, (
        f"{pages} pages of a file that is not cached: expected half as many major faults or more, seen {taken}"
    )
    stirred = kfuncs.stirred
    after = read(kfuncs, worker, items, "PGMAJFAULT", "PGFAULT")
    seen = after["PGMAJFAULT"] - before["PGMAJFAULT"]
    # Beside them, what the worker reads of its own code for the first time.
    assert taken <= seen <= taken + WORKER_PAGES, (
        f"PGMAJFAULT of {worker.path}: expected {taken}, which were taken, or few more; seen {seen}"
    )
    faults, least = after["PGFAULT"] - before["PGFAULT"], taken + kfuncs.stirred - stirred
    assert faults >= least, f"PGFAULT of {worker.path}, major ones among them: expected {least} or more, seen {faults}"
