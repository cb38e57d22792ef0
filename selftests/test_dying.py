# SPDX-License-Identifier: GPL-2.0-only
"""Values of a memcg that was removed and lives on: read and flushed like any other, and they stay as they were.

What pins it is a process that exited in it and was not reaped. What it had charged and outlives it, here a file of a
tmpfs, is its parent's from then on.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from conftest import Items
from kfunctest.guest import cgroup, removal, workers, workload_kinds
from kfunctest.machine.bpf import Bpf, BpfObject
from kfunctest.machine.dying_cgroups import dying, wait_until_gone
from kfunctest.machine.kfuncs import Call, Kfuncs
from kfunctest.machine.memcg import LEAVE_SECONDS, Memcg, MiB
from kfunctest.machine.vm import Vm
from kfunctest.plugin.applicable import needs
from kfunctest.tolerances import FLUSH_PERIOD, plenty, surely_flushed, threshold, usage_slack
from kfunctest.wait import wait_until
from selftests.flushing import made_pending

pytestmark = [pytest.mark.kfunc(name="get_put"), pytest.mark.slow_boot]

SIZE = 2 * MiB
#: What nothing moves once the last process has left its memory: kernel memory and the lists follow a moment later.
STATES, EVENTS = ("NR_ANON_MAPPED", "NR_SHMEM", "NR_FILE_PAGES"), ("PGFAULT",)


@dataclass
class Child:
    """A child of a memcg, with a process in it; then removed, and held by what is left of the process."""

    vm: Vm
    parent: Memcg
    path: str
    id: int
    worker: int
    program: BpfObject
    items: Items
    removed: bool = False

    def work(self, command: str, *args: object) -> int:
        """Let the process do it."""
        return self.vm.call_within(30, workers.work, self.worker, command, *args)

    def remove(self) -> None:
        """Kill the process, and remove the cgroup: nothing is charged to its memcg when this returns."""
        self.vm.call(workers.kill, self.worker)
        self.vm.call(removal.remove, self.path, self.vm.stretched(LEAVE_SECONDS))
        self.removed = True

    def look(self, *, flush: bool = True) -> dict[str, int]:
        """The items, usage as ``usage``, and what the program tells beside these."""
        indices = [self.items.call(name).index for name in (*STATES, *EVENTS)]
        self.program["indices"] = struct.pack(f"={len(indices)}i", *indices).ljust(4 * 256, b"\0")
        seen = self.program.run(
            "read_found",
            "dying_args",
            top=self.parent.id,
            cgroup_id=self.id,
            flush=int(flush),
            states=len(STATES),
            events=len(EVENTS),
        )
        assert seen["retval"] == 0, f"the memcg of {self.path}: expected to find and to get it, seen {seen}"
        raw = self.program["values"]
        assert isinstance(raw, bytes)
        values = struct.unpack_from(f"={len(indices)}Q", raw)
        told = {name: seen[name] for name in ("usage", "pending", "online", "reparents")}
        return {**dict(zip((*STATES, *EVENTS), values, strict=True)), **told}

    def settled(self) -> dict[str, int]:
        """The items of the removed one, when the kernel is through with it and what its process had is flushed."""
        return wait_until(
            self.look,
            until=lambda seen: not (seen["online"] or seen["NR_ANON_MAPPED"]) and seen["PGFAULT"],
            seconds=self.vm.stretched(5),
            interval=0.05,
            what=f"the removed {self.path} to be offline, and without anonymous memory",
        )


@pytest.fixture
def child(vm: Vm, memcg: Memcg, bpf: Bpf, items: Items) -> Iterator[Child]:
    """A child of ``memcg``; in the end its process is reaped, and nothing is left of it."""
    program = bpf.open("dying_values.bpf.c").load("read_found")
    before = dying(vm, memcg.path)
    vm.call(cgroup.delegate_memory, memcg.path)
    path = f"{memcg.path}/removed"
    identity = vm.call(cgroup.create, path)
    made = Child(vm, memcg, path, identity, vm.call(workers.spawn, path), program, items)
    yield made
    if not vm.lost:
        vm.call(workers.end, made.worker)
        if not made.removed:
            vm.call(removal.remove, path, vm.stretched(LEAVE_SECONDS))
        wait_until_gone(vm, memcg.path, path, before)


@pytest.fixture
def file(vm: Vm, memcg: Memcg) -> Iterator[str]:
    """The path of a file of a tmpfs, whose pages outlive who wrote them; gone in the end, if it was made."""
    path = f"/run/{memcg.path.replace('/', '-')}"
    yield path
    if not vm.lost:
        vm.call(cgroup.write_file, path, "")
        vm.call(workload_kinds.remove_file, path)


def test_a_removed_memcg_is_counted_as_dying_and_flushed_like_any_other(vm: Vm, memcg: Memcg, child: Child) -> None:
    """What it had counted and nobody had flushed is brought up by a flush of it alone, after its removal."""
    before = dying(vm, memcg.path)
    faults = made_pending(
        vm, lambda: child.look(flush=False)["pending"], lambda: child.work("fault", surely_flushed(vm.cpus))
    )
    child.remove()
    wait_until(
        lambda: child.look(flush=False),
        until=lambda seen: not seen["online"],
        seconds=vm.stretched(5),
        what=f"the removed {child.path} to be offline",
    )
    held = dying(vm, memcg.path)
    expected = {key: count + 1 for key, count in before.items()}
    assert held == expected, f"cgroup.stat of {memcg.path}, with the removed {child.path}: {expected}, seen {held}"
    seen = child.look()
    if seen["pending"] <= threshold(vm.cpus):  # forgotten since, if not flushed: the next to come is the kernel's flush
        seen = wait_until(
            child.look,
            until=lambda now: faults <= now["PGFAULT"],
            seconds=vm.stretched(2 * FLUSH_PERIOD),
            interval=0.1,
            what=f"PGFAULT of the removed {child.path} to be {faults} or more",
        )
    assert faults <= seen["PGFAULT"], (
        f"PGFAULT of the removed {child.path}: expected {faults} or more after a flush, seen {seen['PGFAULT']}"
    )


@pytest.mark.kfunc(name="page_state")
@pytest.mark.kfunc(name="vm_events")
@pytest.mark.kfunc(name="usage")
def test_the_values_of_a_removed_memcg_stay_as_they_were(
    vm: Vm, memcg: Memcg, child: Child, kfuncs: Kfuncs, items: Items, file: str
) -> None:
    """A file that it was charged for is its parent's: once that is gone, the parent has it no more, and the removed one
    still does. What it counted stays in both.
    """
    busy = memcg.child("busy")
    busy.start()
    child.work("write_file", file, SIZE)
    child.work("charge_anon", plenty(vm.cpus, vm.page_size))
    faults = child.work("fault", surely_flushed(vm.cpus))
    child.remove()
    start = child.settled()
    needs(start["reparents"] == 1, "this kernel leaves the folios of a removed memcg with it")
    assert (start["NR_SHMEM"], start["NR_FILE_PAGES"]) == (SIZE, SIZE), (
        f"the removed {child.path}, bytes: expected {SIZE} of a tmpfs's file, seen {start}"
    )
    assert faults <= start["PGFAULT"], f"PGFAULT of the removed {child.path}: expected {faults} or more, seen {start}"

    def above() -> dict[str, int]:
        calls = [*(items.call(name) for name in (*STATES, *EVENTS)), Call("USAGE")]
        whole, part = kfuncs.settled(memcg, *calls, busy=busy), kfuncs.batch(busy, calls)
        return dict(zip((*STATES, *EVENTS, "usage"), (a - b for a, b in zip(whole, part, strict=True)), strict=True))

    own = above()
    names = (*STATES, *EVENTS)
    assert [own[name] for name in names] == [start[name] for name in names], (
        f"{memcg.path}, less what {busy.path} has: expected what the removed {child.path} has, {start}, seen {own}"
    )
    vm.call(cgroup.write_file, file, "")
    later, own_later = child.settled(), above()
    assert [later[name] for name in names] == [start[name] for name in names], (
        f"the removed {child.path}, after its file was emptied: expected {start} as before, seen {later}"
    )
    slack = usage_slack(vm.cpus, vm.page_size)
    for what, seen in {"removed": start, "removed, after its file was emptied": later}.items():
        assert SIZE <= seen["usage"] <= SIZE + slack, (
            f"usage of {child.path}, {what}, bytes: expected {SIZE} and up to {slack} more, seen {seen}"
        )
    expected = {"NR_ANON_MAPPED": 0, "NR_SHMEM": 0, "NR_FILE_PAGES": 0, "PGFAULT": start["PGFAULT"]}
    assert {name: own_later[name] for name in names} == expected, (
        f"{memcg.path}, less what {busy.path} has, after the file was emptied: expected {expected}, seen {own_later}"
    )
    fallen = own["usage"] - own_later["usage"]
    assert abs(fallen - SIZE) <= slack, (
        f"usage of {memcg.path}, less that of {busy.path}: {SIZE} bytes of a file went, expected that +- {slack}, "
        f"seen {fallen}"
    )
