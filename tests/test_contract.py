# SPDX-License-Identifier: GPL-2.0-only
"""A kernel's contract follows from the names in its BTF and from nothing else."""

from __future__ import annotations

import pytest

from kfunctest import contract
from kfunctest.errors import EXIT_USAGE, SpecError


def test_the_eight_kfuncs_are_v7_0() -> None:
    identified = contract.identify(contract.ALL | {"bpf_cgroup_from_id"})
    assert identified is contract.V7_0
    assert not identified.missing(contract.ALL)
    assert len(contract.ALL) == 8


def test_a_kernel_without_any_is_absent() -> None:
    assert contract.identify(frozenset({"bpf_cgroup_from_id", "mem_cgroup_css_alloc"})) is None


def test_without_memory_events_the_range_check_is_still_demanded() -> None:
    """A backport that lost the check looks like v2 in BTF; taken for v2 it would pass."""
    found = contract.V2.kfuncs
    identified = contract.identify(found)
    assert identified is not None
    assert identified.vm_events_checked
    assert identified.untracked_is_minus_one
    assert identified.root_usage_is_counter
    assert contract.MEMORY_EVENTS not in identified.kfuncs
    assert not identified.missing(found)


@pytest.mark.parametrize("lost", sorted(contract.ALL - {contract.MEMORY_EVENTS}))
def test_a_part_of_the_set_is_identified_and_the_rest_reported(lost: str) -> None:
    found = contract.ALL - {lost}
    identified = contract.identify(found)
    assert identified is contract.V7_0
    assert identified.missing(found) == {lost}


def test_a_single_kfunc_leaves_the_others_missing() -> None:
    identified = contract.identify({contract.USAGE})
    assert identified is not None
    assert identified.missing({contract.USAGE}) == contract.V2.kfuncs - {contract.USAGE}


def test_v2_is_declared_by_name() -> None:
    v2 = contract.by_name("v2")
    assert not v2.vm_events_checked
    assert contract.MEMORY_EVENTS not in v2.kfuncs


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(SpecError, match=r"'v3'.*v2, v7\.0") as caught:
        contract.by_name("v3")
    assert caught.value.exit_status == EXIT_USAGE
