# SPDX-License-Identifier: GPL-2.0-only
"""bpf_mem_cgroup_page_state() of each kind of memory: up by what was made of it, and back down when that is gone.

memory.stat would be wrong along with page_state, so the measure is what the worker did, or what the kernel says
elsewhere of the size of one object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pytest

from conftest import Items
from kfunctest.guest import cgroup, disks
from kfunctest.kernels.model import Kernel
from kfunctest.machine.bpf import Bpf
from kfunctest.machine.dying_cgroups import wait_until_freed
from kfunctest.machine.kfuncs import Call, Kfuncs
from kfunctest.machine.memcg import Memcg, MiB
from kfunctest.machine.vm import Vm
from kfunctest.plugin.applicable import needs
from kfunctest.tolerances import (
    PER_CPU_FIRST_CHUNK,
    SLAB_POINTER,
    STACK_PAGES,
    list_held_back,
    memcg_per_cpu,
    plenty,
    settled_slack,
    slab_held_back,
    socket_bytes,
)
from kfunctest.wait import wait_until

HUGE_PAGES = "/proc/sys/vm/nr_hugepages"
NODES = "/sys/devices/system/node/possible"
#: How many times what the CPUs may hold back of the slab is made, so that the rest tells something.
MANY = 3

pytestmark = [pytest.mark.kfunc(name="page_state"), pytest.mark.slow_boot]


@dataclass(frozen=True)
class Gauge:
    """One item of one memcg, in bytes, and what it was before anything was made."""

    vm: Vm
    memcg: Memcg
    kfuncs: Kfuncs
    name: str
    call: Call
    start: int = 0
    #: Where a worker lives that makes flushes certain: the memcg itself, unless it has children.
    busy: Memcg | None = None

    def read(self) -> int:
        """The item after a flush of all that was done before."""
        return self.kfuncs.settled(self.memcg, self.call, busy=self.busy)[0]

    def rose_by(self, least: int, most: int) -> None:
        """Judge how much it has grown."""
        grown = self.read() - self.start
        assert least <= grown <= most, (
            f"{self.name} of {self.memcg.path} grew by {grown} bytes, expected {least} to {most}"
        )

    def falls_back(self, slack: int) -> None:
        """Judge that it comes back to where it was: some memory is freed a moment after the last use of it."""
        wait_until(
            lambda: self.read() - self.start,
            until=lambda kept: abs(kept) <= slack,
            seconds=5 * self.vm.accelerator.slowdown,
            what=f"{self.name} of {self.memcg.path} to come back to {self.start} +- {slack} bytes",
        )


@pytest.fixture
def gauge(vm: Vm, memcg: Memcg, kfuncs: Kfuncs, items: Items) -> Callable[[str], Gauge]:
    """``gauge(name)``: the item of the memcg, from now on."""

    def make(name: str) -> Gauge:
        memcg.start()
        found = Gauge(vm, memcg, kfuncs, name, items.call(name))
        return replace(found, start=found.read())

    return make


def slab_size(vm: Vm, kernel: Kernel, cache: str) -> int:
    """Bytes that an object of this cache takes, as the allocator says."""
    needs(kernel.option("CONFIG_SLUB_DEBUG") == "y", "CONFIG_SLUB_DEBUG is not set")
    return int(vm.call(cgroup.read_file, f"/sys/kernel/slab/{cache}/slab_size"))


def test_kernel_stacks_go_when_their_processes_do(
    vm: Vm, kernel: Kernel, memcg: Memcg, gauge: Callable[[str], Gauge]
) -> None:
    stacks = gauge("NR_KERNEL_STACK_KB")
    memcg.fork_children(16)
    size = 16 * STACK_PAGES[kernel.option("CONFIG_KASAN") == "y"] * vm.page_size
    stacks.rose_by(size, size)
    memcg.kill()
    memcg.start()
    stacks.falls_back(0)


@pytest.mark.parametrize(("levels", "spans"), [(1, 600), (2, 300), (3, 100)])
def test_page_tables_come_and_go_with_what_they_map(
    vm: Vm, memcg: Memcg, gauge: Callable[[str], Gauge], levels: int, spans: int
) -> None:
    """Each span has a table of its own of each level: what maps pages, what maps those tables, and so on."""
    tables = gauge("NR_PAGETABLE")
    made = levels * memcg.do("charge_page_tables", spans, levels) * vm.page_size
    slack = settled_slack(vm.page_size)
    tables.rose_by(made - slack, made + slack)
    memcg.do("release_areas")
    tables.falls_back(slack)


def test_huge_pages_are_counted_whole(vm: Vm, kernel: Kernel, memcg: Memcg, gauge: Callable[[str], Gauge]) -> None:
    """In bytes as pages of any size are, and as part of all anonymous memory."""
    needs(kernel.option("CONFIG_TRANSPARENT_HUGEPAGE") == "y", "CONFIG_TRANSPARENT_HUGEPAGE is not set")
    huge, anonymous = gauge("NR_ANON_THPS"), gauge("NR_ANON_MAPPED")
    made = memcg.do("charge_huge", 3)
    huge.rose_by(made, made)
    slack = settled_slack(vm.page_size)
    anonymous.rose_by(made - slack, made + slack)
    memcg.do("release_areas")
    huge.falls_back(0)
    anonymous.falls_back(slack)


@pytest.mark.kfunc(name="vm_events")
def test_faults_that_got_a_huge_page_are_counted(
    vm: Vm, kernel: Kernel, memcg: Memcg, kfuncs: Kfuncs, items: Items
) -> None:
    needs(kernel.option("CONFIG_TRANSPARENT_HUGEPAGE") == "y", "CONFIG_TRANSPARENT_HUGEPAGE is not set")
    memcg.do("charge_huge", 3)
    seen = kfuncs.settled(memcg, items.call("THP_FAULT_ALLOC"))[0]
    assert seen == 3, f"THP_FAULT_ALLOC of {memcg.path}, a count: 3 huge pages were touched, expected 3, seen {seen}"


@pytest.fixture
def hugetlb(vm: Vm, kernel: Kernel, items: Items) -> Iterator[int]:
    """Pages of hugetlb that the system has set aside, and that memcgs are charged for."""
    needs("NR_HUGETLB" in items.enum("node_stat_item"), "memcg of this kernel does not track NR_HUGETLB")
    needs(kernel.option("CONFIG_HUGETLBFS") == "y", "CONFIG_HUGETLBFS is not set")
    vm.call(cgroup.write_file, HUGE_PAGES, "2")
    vm.call(disks.remount_cgroups, "memory_hugetlb_accounting")
    yield int(vm.call(cgroup.read_file, HUGE_PAGES))
    if not vm.lost:
        vm.call(disks.remount_cgroups, "")
        vm.call(cgroup.write_file, HUGE_PAGES, "0")


@pytest.mark.destructive("sets memory aside")
def test_pages_of_hugetlb_are_counted_where_memcgs_are_charged_for_them(
    vm: Vm, memcg: Memcg, hugetlb: int, gauge: Callable[[str], Gauge]
) -> None:
    """A mount option of cgroup2 decides; then memory.stat has a key for them, too."""
    huge = gauge("NR_HUGETLB")
    made = memcg.do("charge_hugetlb", hugetlb)
    assert made, f"the kernel set no huge page aside for {memcg.path}"
    huge.rose_by(made, made)
    assert (seen := memcg.stat().get("hugetlb")) == made, f"hugetlb of {memcg.path}: expected {made} bytes, seen {seen}"
    memcg.do("release_areas")
    huge.falls_back(0)


def test_locked_memory_is_unevictable(vm: Vm, memcg: Memcg, gauge: Callable[[str], Gauge]) -> None:
    locked = gauge("NR_UNEVICTABLE")
    made = memcg.do("charge_locked", plenty(vm.cpus, vm.page_size))
    slack = list_held_back(vm.cpus, vm.page_size)
    locked.rose_by(made - slack, made + slack)
    memcg.do("release_areas")
    locked.falls_back(slack)


def test_open_files_are_slab_that_cannot_be_reclaimed(
    vm: Vm, kernel: Kernel, memcg: Memcg, gauge: Callable[[str], Gauge]
) -> None:
    slack = slab_held_back(vm.cpus) + settled_slack(vm.page_size)  # the table of descriptors grows, too
    size = slab_size(vm, kernel, "filp") + SLAB_POINTER
    count = MANY * slack // size
    made = count * size
    slab, kernel_memory = gauge("NR_SLAB_UNRECLAIMABLE_B"), gauge("MEMCG_KMEM")
    memcg.do("open_files", count)
    slab.rose_by(made - slack, made + slack)
    kernel_memory.rose_by(made - slack, made + slack)
    memcg.do("close_files")
    slab.falls_back(slack)
    kernel_memory.falls_back(slack)


def test_names_of_files_are_slab_that_can_be_reclaimed(
    vm: Vm, kernel: Kernel, memcg: Memcg, gauge: Callable[[str], Gauge]
) -> None:
    slack = slab_held_back(vm.cpus)
    size = slab_size(vm, kernel, "dentry") + SLAB_POINTER
    count = MANY * slack // size
    made = count * size
    folder = f"/run/{memcg.path.replace('/', '-')}"
    slab = gauge("NR_SLAB_RECLAIMABLE_B")
    memcg.do("make_names", folder, count)
    slab.rose_by(made - slack, made + slack)
    memcg.do("remove_names", folder, count)
    slab.falls_back(slack)


def test_bytes_that_wait_in_a_socket_are_its_memory(vm: Vm, memcg: Memcg, gauge: Callable[[str], Gauge]) -> None:
    sockets = gauge("MEMCG_SOCK")
    least, most = socket_bytes(memcg.do("send_unread", MiB), vm.page_size)
    sockets.rose_by(least, most)
    memcg.do("close_sockets")
    sockets.falls_back(settled_slack(vm.page_size))


def test_a_large_map_is_vmalloc(vm: Vm, memcg: Memcg, bpf: Bpf, items: Items, gauge: Callable[[str], Gauge]) -> None:
    """1024 elements of a page, charged to the memcg of who makes the map."""
    memory = gauge("NR_VMALLOC" if "NR_VMALLOC" in items.enum("node_stat_item") else "MEMCG_VMALLOC")
    whole = gauge("MEMCG_KMEM")
    with memcg.asking_from_inside():
        bpf.open("large_map.bpf.c").load("use_map")
    large, slack = 1024 * vm.page_size, settled_slack(vm.page_size)
    memory.rose_by(large, large + slack)
    whole.rose_by(large, large + slack)
    with bpf:
        pass  # unloads
    memory.falls_back(slack)
    whole.falls_back(slack)


def test_per_cpu_memory_is_what_memcgs_keep_their_counters_in(
    vm: Vm, kernel: Kernel, memcg: Memcg, kfuncs: Kfuncs, items: Items, bpf: Bpf
) -> None:
    """A memcg's per-CPU counters are charged to its parent: 32 children, to the byte. Others came before them, and
    filled the memory that the kernel booted with, for which nobody is charged; and nothing is freed there meanwhile.
    """
    told = bpf.open("sizes.bpf.c").load("tell_sizes").run("tell_sizes", "sizes_args")
    cpus = counted(vm.call(cgroup.read_file, "/sys/devices/system/cpu/possible"))
    # Without CONFIG_NUMA there is one, of which sysfs does not tell.
    nodes = counted(vm.call(cgroup.read_file, NODES)) if kernel.option("CONFIG_NUMA") == "y" else 1
    sizes = [told["of_memcg"], *[told["of_node"]] * nodes, told["of_v1"]]
    fillers = PER_CPU_FIRST_CHUNK // sum(sizes)
    filled, measured, busy = (memcg.child(name) for name in ("filled", "measured", "busy"))
    busy.start()
    per_cpu = Gauge(vm, memcg, kfuncs, "MEMCG_PERCPU_B", items.call("MEMCG_PERCPU_B"), busy=busy)
    wait_until_freed(vm)
    with children(vm, filled, fillers):
        per_cpu = replace(per_cpu, start=per_cpu.read())
        made = 32 * memcg_per_cpu(sizes, cpus)
        with children(vm, measured, 32):
            per_cpu.rose_by(made, made)
        per_cpu.falls_back(0)


@contextmanager
def children(vm: Vm, memcg: Memcg, count: int) -> Iterator[None]:
    """So many memcgs below this one."""
    vm.call(cgroup.delegate_memory, memcg.path)
    vm.call(cgroup.create_many, memcg.path, count)
    try:
        yield
    finally:
        if not vm.lost:
            vm.call(cgroup.remove_many, memcg.path, count)


def counted(numbers: str) -> int:
    """How many numbers a list such as ``0-3,8`` has."""
    spans = [[int(end) for end in span.split("-")] for span in numbers.strip().split(",")]
    return sum(span[-1] - span[0] + 1 for span in spans)


def test_anonymous_memory_is_on_the_lists_that_reclaim_walks(
    vm: Vm, memcg: Memcg, kfuncs: Kfuncs, items: Items, gauge: Callable[[str], Gauge]
) -> None:
    """Active and inactive together are what is mapped; and nothing more is on the lists of files."""
    lists = [gauge(f"NR_{state}_ANON") for state in ("ACTIVE", "INACTIVE")]
    files = [gauge(f"NR_{state}_FILE") for state in ("ACTIVE", "INACTIVE")]
    made = memcg.do("charge_written", plenty(vm.cpus, vm.page_size))
    slack = settled_slack(vm.page_size) + list_held_back(vm.cpus, vm.page_size)
    for group, expected in ((lists, made), (files, 0)):
        grown = sum(each.read() - each.start for each in group)
        assert abs(grown - expected) <= slack, (
            f"{' + '.join(each.name for each in group)} of {memcg.path} in bytes: expected {expected} +- {slack} more, "
            f"seen {grown}"
        )
