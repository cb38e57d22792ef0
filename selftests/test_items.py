# SPDX-License-Identifier: GPL-2.0-only
"""Which items page_state, vm_events and memory_events know: every enumerator of the kernel's enums, by its name.

And the numbers around each bound.

A kernel that tracks an item which kfunctest/statitems.py has as untracked fails here. One that the tables do not name
at all is left out: the run reports it as not tested.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from conftest import Items
from kfunctest.contract import MEMORY_EVENTS, Contract
from kfunctest.kernels.model import Kernel
from kfunctest.machine.bpf import Bpf, BpfObject
from kfunctest.machine.kernel_log import logged
from kfunctest.machine.kfuncs import INT_MAX, INT_MIN, ULONG_MAX, Call, Kfuncs
from kfunctest.machine.memcg import Memcg
from kfunctest.machine.vm import Vm
from kfunctest.plugin.applicable import needs
from kfunctest.statitems import BOUNDS, Tracked, tracked
from kfunctest.statkeys import SUMS
from kfunctest.tolerances import plenty, sandwich
from selftests.item_coverage import MOVED, UNMOVED

#: What the kernel warns with when it looks up an item that memcg has no place for.
WARNING = "missing stat item"
UINT_MAX = (1 << 32) - 1
#: What a program may have left in the upper half of an index; the last two make the extremes of 64 bits.
HIGH_HALVES = (1, 0x7FFFFFFF, 0x80000000, UINT_MAX)
#: The enums of what page_state takes.
STATES = ("node_stat_item", "memcg_stat_item")
#: How far on each side of a bound every number is tried.
NEAR = 40


def option(kernel: Kernel) -> Callable[[str], bool]:
    """Whether the kernel has an option."""
    return lambda name: kernel.option(name) == "y"


def enumerators(items: Items, *enums: str) -> dict[str, int]:
    """The members of the enums, without what only bounds them and what no table knows."""
    left_out = BOUNDS | items.unknown(*enums).keys()
    return {name: value for enum in enums for name, value in items.enum(enum).items() if name not in left_out}


@pytest.fixture
def known(kernel: Kernel, items: Items) -> Tracked:
    """What a kernel with these enums and options tracks."""
    states = enumerators(items, *STATES)
    return tracked(states, enumerators(items, "vm_event_item"), option(kernel))


def around(*bounds: int) -> list[int]:
    """The 32-bit numbers around each bound and around the powers of two, where a narrow type would wrap, in order."""
    powers = [sign << shift for sign in (-1, 1) for shift in range(6, 32)]
    near = {at + step for at in (0, *bounds) for step in range(-NEAR, NEAR + 1)}
    near |= {at + step for at in powers for step in range(-2, 3)}
    return sorted(index for index in near if INT_MIN <= index <= INT_MAX)


def values(vm: Vm, memcg: Memcg, kfuncs: Kfuncs, operation: str, indices: Iterable[int]) -> dict[int, int]:
    """The value of each index, all called for in one run; the kernel must not warn of any of them."""
    asked = list(indices)
    seen, log = logged(vm, lambda: kfuncs.batch(memcg, [Call(operation, index) for index in asked]))
    assert WARNING not in log, f"{operation} of {memcg.path}: expected no warning, the kernel logged:\n{log}"
    return dict(zip(asked, seen, strict=True))


def judge_names(
    contract: Contract, read: Callable[[Iterable[int]], dict[int, int]], members: dict[str, int], names: frozenset[str]
) -> None:
    """A member is tracked if it is one of ``names``, or their alias. As merged, any other gives -1.

    As posted, any other gives 0 and a warning, which a test beside this one looks at; none of ``names`` may warn.
    """
    indices = {members[name] for name in names}
    asked = members if contract.untracked_is_minus_one else {name: members[name] for name in names}
    found = read(asked.values())
    seen = {name for name, index in asked.items() if found[index] != ULONG_MAX}
    expected = {name for name, index in asked.items() if index in indices}
    assert seen == expected, (
        f"items that have a value though memcg should not track them: {sorted(seen - expected)}; "
        f"items that give -1 though it should: {sorted(expected - seen)}"
    )


@pytest.mark.kfunc(name="page_state")
def test_memory_stat_has_a_key_for_every_item_and_no_other(
    kernel: Kernel, memcg: Memcg, items: Items, known: Tracked
) -> None:
    """The ground that every comparison with memory.stat stands on: a key that goes missing would not be compared.

    An item that no table knows may have a key.
    """
    seen, expected = memcg.stat().keys() - {"hugetlb"}, known.keys(option(kernel))
    new = items.unknown(*STATES, "vm_event_item")
    assert expected <= seen and len(seen - expected) <= len(new), (  # noqa: PT018 (one message, of both)
        f"memory.stat of {memcg.path}: keys that kfunctest/statitems.py does not know: {sorted(seen - expected)}; keys "
        f"that are missing: {sorted(expected - seen)} (sums: {sorted(SUMS)})"
    )


@pytest.mark.kfunc(name="page_state")
def test_page_state_has_a_value_for_what_memcg_tracks_by_name(
    vm: Vm, contract: Contract, memcg: Memcg, kfuncs: Kfuncs, items: Items, known: Tracked
) -> None:
    members = enumerators(items, *STATES)
    judge_names(contract, lambda asked: values(vm, memcg, kfuncs, "PAGE_STATE", asked), members, known.states)


@pytest.mark.kfunc(name="vm_events")
def test_vm_events_have_a_value_for_what_memcg_tracks_by_name(
    vm: Vm, contract: Contract, memcg: Memcg, kfuncs: Kfuncs, items: Items, known: Tracked
) -> None:
    members = enumerators(items, "vm_event_item")
    judge_names(contract, lambda asked: values(vm, memcg, kfuncs, "VM_EVENTS", asked), members, known.events)


@pytest.mark.destructive("reads out of bounds on a kernel that does not check")
@pytest.mark.kfunc(name="page_state")
def test_page_state_of_any_number_is_minus_one_or_an_item(
    vm: Vm, contract: Contract, memcg: Memcg, kfuncs: Kfuncs, items: Items, known: Tracked
) -> None:
    """Numbers around every bound, and where a narrower type would wrap. The empty memcg has 0 of each item."""
    indices = {items.call(name).index for name in known.states}
    left_out = set(items.unknown(*STATES).values()) - indices
    asked = [n for n in around(items.NR_VM_NODE_STAT_ITEMS, items.MEMCG_NR_STAT) if n not in left_out]
    if not contract.untracked_is_minus_one:
        asked = [index for index in asked if index in indices or not 0 <= index < items.MEMCG_NR_STAT]
    seen = values(vm, memcg, kfuncs, "PAGE_STATE", asked)
    wrong = {index: value for index, value in seen.items() if value != (0 if index in indices else ULONG_MAX)}
    assert not wrong, f"page_state of {memcg.path} by number: expected 0 for an item, else {ULONG_MAX}; seen {wrong}"


@pytest.mark.destructive("reads out of bounds on a kernel that does not check")
@pytest.mark.kfunc(name="vm_events")
def test_vm_events_of_any_number_are_minus_one_or_an_event(
    vm: Vm, contract: Contract, memcg: Memcg, kfuncs: Kfuncs, items: Items, known: Tracked
) -> None:
    """Likewise; by a contract that checks no range only the events themselves can be asked for. The bound comes first:
    a kernel that does not check fails at it, and is not driven further out.
    """
    indices = {items.enum("vm_event_item")[name] for name in known.events}
    asked = sorted(indices)
    if contract.vm_events_checked:
        bound = items.NR_VM_EVENT_ITEMS
        first = values(vm, memcg, kfuncs, "VM_EVENTS", [bound])[bound]
        assert first == ULONG_MAX, f"vm_events of {memcg.path}, event {bound}, the bound: expected -1, seen {first:#x}"
        left_out = set(items.unknown("vm_event_item").values()) - indices
        asked = [number for number in around(bound) if number not in left_out]
    seen = values(vm, memcg, kfuncs, "VM_EVENTS", asked)
    wrong = {index: value for index, value in seen.items() if value != (0 if index in indices else ULONG_MAX)}
    assert not wrong, f"vm_events of {memcg.path} by number: expected 0 for an event, else {ULONG_MAX}; seen {wrong}"


@pytest.mark.destructive("reads out of bounds on a kernel that does not check")
@pytest.mark.kfunc(name="memory_events")
def test_memory_events_of_any_number_are_minus_one_or_an_event(
    vm: Vm, contract: Contract, memcg: Memcg, kfuncs: Kfuncs, items: Items
) -> None:
    """Every number from 0 to the bound is an event, and no other: there is nothing that memcg does not track."""
    needs(MEMORY_EVENTS in contract.kfuncs, f"contract {contract.name} has no {MEMORY_EVENTS}")
    bound = items.MEMCG_NR_MEMORY_EVENTS
    seen = values(vm, memcg, kfuncs, "MEMORY_EVENTS", around(bound))
    wrong = {index: value for index, value in seen.items() if value != (0 if 0 <= index < bound else ULONG_MAX)}
    assert not wrong, f"memory_events of {memcg.path} by number: expected 0 below {bound}, else -1; seen {wrong}"


@pytest.mark.slow_boot
@pytest.mark.destructive("reads out of bounds on a kernel that does not check")
@pytest.mark.kfunc(name="page_state")
def test_of_a_64_bit_index_the_low_half_counts(
    vm: Vm, contract: Contract, memcg: Memcg, kfuncs: Kfuncs, items: Items, bpf: Bpf
) -> None:
    """An int takes the low half of a register. A program may leave what it likes in the other: no other item, no -1.

    And where the low half is none, as of the extremes of 64 bits, no high half makes it one.
    """
    memcg.charge_anon(plenty(vm.cpus, vm.page_size))
    asked = {"PAGE_STATE": ["NR_ANON_MAPPED"], "VM_EVENTS": ["PGFAULT"]}
    nothing = {"PAGE_STATE": [-1, items.MEMCG_NR_STAT]}
    if contract.vm_events_checked:
        nothing["VM_EVENTS"] = [-1, items.NR_VM_EVENT_ITEMS]
    if contract.untracked_is_minus_one:
        nothing["PAGE_STATE"].append(items.NR_ISOLATED_ANON)
    if MEMORY_EVENTS in contract.kfuncs:
        asked["MEMORY_EVENTS"], nothing["MEMORY_EVENTS"] = ["MEMCG_MAX"], [-1, items.MEMCG_NR_MEMORY_EVENTS]
    program = bpf.open("wide_index.bpf.c").load("call_wide")
    least = kfuncs.settled(memcg, *(items.call(names[0]) for names in asked.values()))[:2]
    assert min(least) > 0, (
        f"NR_ANON_MAPPED and PGFAULT of {memcg.path}: expected those of what was charged, seen {least}"
    )
    for number, operation in enumerate(("PAGE_STATE", "VM_EVENTS", "MEMORY_EVENTS")):
        some = [(name, getattr(items, name)) for name in asked.get(operation, ())]
        none = [("none", index) for index in nothing.get(operation, ())]
        for name, low in some + none:
            call = Call(operation, low)
            for index in (high << 32 | low & UINT_MAX for high in HIGH_HALVES):
                value = sandwich(
                    lambda call=call: kfuncs.batch(memcg, [call])[0],  # type: ignore[misc]
                    lambda index=index, number=number: wide(program, memcg, number, index),  # type: ignore[misc]
                )
                assert value, f"{operation} of {memcg.path}, {name}, by index {index:#x} in its unit: {value}"
                assert name != "none" or value.seen == ULONG_MAX, (
                    f"{operation} of {memcg.path} by index {index:#x}, whose low half is none: expected -1, {value}"
                )


def wide(program: BpfObject, memcg: Memcg, number: int, index: int) -> int:
    """The value by an index of 64 bits; ``number`` is of enum wide_kfunc, wide_index.bpf.c."""
    found = program.run("call_wide", "wide_args", cgroup_id=memcg.id, index=index, kfunc=number)
    assert found["retval"] == 0, f"wide_index.bpf.c gave {found['retval']} for {memcg.path}"
    return found["value"]


@pytest.mark.kfunc(name="page_state")
def test_every_item_is_moved_by_a_test_or_named_as_one_that_nothing_here_moves(known: Tracked) -> None:
    """selftests/item_coverage.py tells which test moves an item, and why no test moves others: their counters are set.

    A kernel that tracks one more has it here, too.
    """
    named = MOVED.keys() | UNMOVED.keys()
    assert not (unknown := sorted((known.states | known.events) - named)), (
        f"items that memcg tracks and selftests/item_coverage.py does not name: {unknown}"
    )
