# SPDX-License-Identifier: GPL-2.0-only
"""Where there is a memcg to get: the memory controller may be off, hidden, disabled, or bound to cgroup v1."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from conftest import Items
from kfunctest.contract import Contract
from kfunctest.guest import cgroup, legacy
from kfunctest.kernels.model import Kernel
from kfunctest.machine.bpf import Bpf
from kfunctest.machine.dying_cgroups import dying, wait_until_gone
from kfunctest.machine.kfuncs import Call, Kfuncs, NoMemcg
from kfunctest.machine.memcg import Memcg, MiB
from kfunctest.machine.vm import Vm
from kfunctest.plugin.applicable import needs
from kfunctest.tolerances import plenty, settled_slack, usage_slack
from kfunctest.wait import wait_until

pytestmark = pytest.mark.kfunc(name="get_put")

#: Seconds (with KVM) that a controller may take to go from one hierarchy to the other.
REBIND_SECONDS = 5.0


def the_root(vm: Vm) -> Memcg:
    """The root cgroup of v2, found by its id as any other."""
    root = Memcg(vm, "")
    root.id = vm.call(cgroup.identity, "")
    return root


def has_memcg(kfuncs: Kfuncs, group: Memcg | None) -> bool:
    """Whether get returns one; without a group, get_root."""
    try:
        kfuncs.usage(group)
    except NoMemcg:
        return False
    return True


@contextmanager
def controllers(vm: Vm, path: str, on: str, off: str) -> Iterator[None]:
    """Give the children of ``path`` other controllers, in the words of cgroup.subtree_control, and take them back."""
    vm.call(cgroup.write, path, "cgroup.subtree_control", on)
    try:
        yield
    finally:
        vm.call(cgroup.write, path, "cgroup.subtree_control", off)


@pytest.mark.slow_boot
def test_io_alone_brings_a_memcg_that_shows_no_files(vm: Vm, memcg: Memcg, kfuncs: Kfuncs, items: Items) -> None:
    """The io controller depends on memory's, which comes along hidden: charged, got and read like any other."""
    needs("io" in vm.call(cgroup.read, "", "cgroup.controllers").split(), "there is no io controller")
    before = dying(vm, memcg.path)
    with controllers(vm, "", "+io", "-io"), Memcg(vm, f"{memcg.path}/hidden") as hidden:
        assert not has_memcg(kfuncs, hidden), f"{hidden.path} has a memcg, though {memcg.path} delegates no controller"
        with controllers(vm, memcg.path, "+io", "-io"):
            files = vm.call(cgroup.files, hidden.path)
            shown = {"memory.current", "memory.stat", "io.stat"} & {*files}
            assert shown == {"io.stat"}, f"{hidden.path}: expected files of io and none of memory, seen {sorted(files)}"
            hidden.start()
            wanted = [Call("USAGE"), items.call("NR_ANON_MAPPED")]
            was = kfuncs.settled(hidden, *wanted)
            touched = hidden.charge_anon(plenty(vm.cpus, vm.page_size))
            usage, anon = (now - then for now, then in zip(kfuncs.settled(hidden, *wanted), was, strict=True))
            slack = usage_slack(vm.cpus, vm.page_size)
            assert abs(usage - touched) <= slack, f"usage of {hidden.path}: {touched} bytes +- {slack}, seen {usage}"
            slack = settled_slack(vm.page_size)
            assert abs(anon - touched) <= slack, f"NR_ANON_MAPPED of {hidden.path}: {touched} +- {slack}, seen {anon}"
            hidden.kill()
        wait_until(
            lambda: not has_memcg(kfuncs, hidden),
            seconds=vm.stretched(5),
            what=f"get of {hidden.path} to be NULL after {memcg.path} took the io controller back",
        )
        wait_until_gone(vm, memcg.path, f"hidden memcg of {hidden.path}", before)


@pytest.mark.slow_boot
@pytest.mark.boot(append=("cgroup_disable=memory",))
def test_nothing_has_a_memcg_where_memory_is_disabled(vm: Vm, kfuncs: Kfuncs) -> None:
    """Neither the root nor a child, by get_root or by get: NULL, and no oops."""
    known = vm.call(cgroup.read, "", "cgroup.controllers").split()
    assert "memory" not in known, f"cgroup_disable=memory: expected no memory controller, seen {known}"
    with Memcg(vm, "disabled") as child:
        groups = {"get_root": None, "get of the root cgroup": the_root(vm), f"get of {child.path}": child}
        found = [name for name, group in groups.items() if has_memcg(kfuncs, group)]
        assert not found, f"cgroup_disable=memory: expected NULL from each of {list(groups)}, got a memcg by {found}"


@contextmanager
def hierarchy_of_v1(vm: Vm, controller: str) -> Iterator[tuple[str, int]]:
    """Path and number of a hierarchy of v1 with this controller, which v2 gives up and gets back; if it does not, no
    other test uses the machine.
    """
    path = "legacy"
    given = vm.call(cgroup.read, "", "cgroup.subtree_control").split()
    vm.call(cgroup.write, "", "cgroup.subtree_control", f"-{controller}")
    vm.spent = f"the {controller} controller is with cgroup v1"
    number = vm.call(legacy.mount, controller, path, vm.stretched(REBIND_SECONDS))
    try:
        yield path, number
    finally:
        if not vm.lost and vm.call(legacy.unmount, controller, path, vm.stretched(REBIND_SECONDS)):
            if controller in given:
                vm.call(cgroup.write, "", "cgroup.subtree_control", f"+{controller}")
            vm.spent = None


@contextmanager
def agent_in(vm: Vm, path: str, back: str) -> Iterator[None]:
    """Have the agent, and what it runs, in the cgroup ``path``; then in ``back``, of the same hierarchy."""
    vm.call(legacy.move_agent, path)
    try:
        yield
    finally:
        vm.call(legacy.move_agent, back)


@pytest.mark.slow_boot
@pytest.mark.destructive("mounts cgroup v1")
def test_get_is_null_for_a_cgroup_of_v1_while_memory_is_with_v2(vm: Vm, bpf: Bpf) -> None:
    """Where another controller was bound to v1: in its hierarchy nothing has a memcg, the hierarchy's root neither."""
    needs("pids" in vm.call(cgroup.read, "", "cgroup.controllers").split(), "there is no pids controller")
    program = bpf.open("v1.bpf.c").load("of_my_cgroup")
    with hierarchy_of_v1(vm, "pids") as (top, number), Memcg(vm, f"{top}/child") as child:
        for path in (top, child.path):
            with agent_in(vm, path, top):
                seen = program.run("of_my_cgroup", "v1_args", hierarchy=number)
            assert (seen["retval"], seen["got"]) == (0, 0), f"get of {path} of the v1 pids hierarchy: NULL, seen {seen}"


@pytest.mark.slow_boot
@pytest.mark.destructive("binds the memory controller to cgroup v1")
def test_memory_bound_to_v1_gives_memcgs_there_and_none_on_v2(
    vm: Vm, kernel: Kernel, contract: Contract, kfuncs: Kfuncs, bpf: Bpf
) -> None:
    """get_root is as it was; get takes cgroups of v1 only, the root among them."""
    needs(kernel.option("CONFIG_MEMCG_V1") == "y", "CONFIG_MEMCG_V1 is not set")
    program, slack = bpf.open("v1.bpf.c").load("of_my_cgroup"), usage_slack(vm.cpus, vm.page_size)
    with (
        hierarchy_of_v1(vm, "memory") as (top, number),
        Memcg(vm, f"{top}/child") as child,
        Memcg(vm, "bystander") as of_v2,
    ):
        for name, group in {"the root cgroup of v2": the_root(vm), of_v2.path: of_v2}.items():
            assert not has_memcg(kfuncs, group), f"get of {name}: expected NULL while memory is with v1, got a memcg"
        child.start()
        whole = kfuncs.usage(None)
        touched = child.charge_anon(4 * MiB)
        with agent_in(vm, child.path, top):
            seen = program.run("of_my_cgroup", "v1_args", hierarchy=number)
        expected = int(child.read("memory.usage_in_bytes"))
        assert (seen["retval"], seen["got"]) == (0, 1), f"get of {child.path} of v1: expected a memcg, seen {seen}"
        assert abs(seen["usage"] - expected) <= slack, (
            f"usage of {child.path} of v1: memory.usage_in_bytes says {expected} bytes +- {slack}, seen {seen}"
        )
        assert expected >= touched, f"usage of {child.path} of v1: {touched} bytes touched, seen {expected}"
        grown = kfuncs.usage(None) - whole
        assert not contract.root_usage_is_counter or abs(grown - touched) <= slack, (
            f"usage of get_root in bytes: a child on v1 touched {touched} +- {slack}, seen {grown} more"
        )
        seen = program.run("of_my_cgroup", "v1_args", hierarchy=number)
        assert (seen["retval"], seen["got"]) == (0, 1), f"get of the root of v1: expected the root memcg, seen {seen}"
        child.kill()
    assert has_memcg(kfuncs, the_root(vm)), "get of the root cgroup of v2: NULL, though memory is back with v2"
