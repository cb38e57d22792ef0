# SPDX-License-Identifier: GPL-2.0-only
"""bpf_get_mem_cgroup() by a css of any controller: the memcg of its cgroup, never the css taken for a memcg."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kfunctest.guest import cgroup, devmem
from kfunctest.kernels.model import Kernel
from kfunctest.machine.bpf import Bpf, BpfObject
from kfunctest.machine.memcg import Memcg
from kfunctest.machine.vm import Vm
from kfunctest.plugin.applicable import needs

pytestmark = [
    pytest.mark.kfunc(name="get_put"),
    pytest.mark.slow_boot,
    pytest.mark.destructive("writes into the kernel's memory"),
]

#: Controllers by whose css is asked, where the kernel has them: memory's is found by none of their names.
OTHERS = ("pids", "cpu", "cpuset")


@pytest.fixture
def others(vm: Vm, kernel: Kernel, memcg: Memcg) -> Iterator[tuple[str, ...]]:
    """Controllers that the memcg has besides memory, and gives to its children."""
    needs(kernel.option("CONFIG_DEVMEM") == "y", "CONFIG_DEVMEM is not set")
    needs(kernel.option("CONFIG_STRICT_DEVMEM") != "y", "CONFIG_STRICT_DEVMEM is set")
    known = vm.call(cgroup.read, "", "cgroup.controllers").split()
    names = tuple(name for name in OTHERS if name in known)
    needs("pids" in names, "there is no pids controller")
    on = set(vm.call(cgroup.read, "", "cgroup.subtree_control").split())
    for path in ("", memcg.path):
        vm.call(cgroup.write, path, "cgroup.subtree_control", " ".join(f"+{name}" for name in names))
    yield names
    if not vm.lost:
        off = [f"-{name}" for name in names if name not in on]
        vm.call(cgroup.write, memcg.path, "cgroup.subtree_control", " ".join(f"-{name}" for name in names))
        vm.call(cgroup.write, "", "cgroup.subtree_control", " ".join(off))


def got_by_each(vm: Vm, program: BpfObject, group: Memcg, names: tuple[str, ...]) -> tuple[int, dict[str, int]]:
    """The address of the cgroup's memory css, and of the memcg that get returned by each css; 0 for none."""
    kept = program.run("keep", "css_args", cgroup_id=group.id)
    assert kept["retval"] == 0, f"any_css.bpf.c found no cgroup {group.path}"
    got: dict[str, int] = {}

    def hold(address: int) -> None:
        vm.call(devmem.write_words, [(kept["slot"], address)], kept["direct_map"], kept["page_table"])

    try:
        for name, address in {"the cgroup's own": kept["cgroup"], **{name: kept[name] for name in names}}.items():
            assert address, f"{group.path} has no css of {name}"
            hold(address)
            got[name] = program.run("get_held", "css_args")["got"]
    finally:
        hold(kept["cgroup"])
        program.run("let_go", "css_args")
    return kept["memory"], got


def test_get_by_a_css_of_any_controller_is_the_memcg_of_its_cgroup(
    vm: Vm, memcg: Memcg, bpf: Bpf, others: tuple[str, ...]
) -> None:
    """And NULL where the cgroup has none, though it has a css of each of the others."""
    program = bpf.open("any_css.bpf.c").load("keep", "get_held", "let_go")
    expected, got = got_by_each(vm, program, memcg, others)
    assert expected, f"{memcg.path} has no css of the memory controller"
    assert got == dict.fromkeys(got, expected), (
        f"get of {memcg.path} by each css: expected its memcg, at {expected:#x}, seen {show(got)}"
    )
    with Memcg(vm, f"{memcg.path}/bare") as bare:
        none, got = got_by_each(vm, program, bare, others)
        assert not none, f"{bare.path} has a css of the memory controller, which {memcg.path} does not delegate"
        assert not any(got.values()), f"get of {bare.path}, which has no memcg: expected NULL by each, seen {show(got)}"


def show(got: dict[str, int]) -> dict[str, str]:
    """Addresses as such."""
    return {name: hex(address) for name, address in got.items()}
