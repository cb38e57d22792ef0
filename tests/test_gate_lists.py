# SPDX-License-Identifier: GPL-2.0-only
"""DENYLIST and ALLOWLIST, in the form of BPF's CI."""

from __future__ import annotations

from pathlib import Path

import pytest

from kfunctest.errors import SpecError
from kfunctest.gate import lists
from kfunctest.gate.lists import Entry, Lists

TEST = "selftests/test_usage.py::test_usage_of_root[4 KiB]"


@pytest.mark.parametrize(
    "pattern, covers",
    [
        ("test_usage", True),
        ("test_*", True),
        ("*", True),
        ("usage", False),
        ("test_usage/test_usage_of_root[4 KiB]", True),
        ("test_usage/test_usage_of_root", True),
        ("test_usage/test_usage_*", True),
        ("test_usage/*root*", True),
        ("test_usage/test_usage", False),
        ("test_usage/test_usage_of_root[8 KiB]", False),
        ("test_usag", False),
        ("test_usage/", False),
        ("test.usage", False),
        ("test_root/test_usage_of_root", False),
    ],
)
def test_a_pattern_covers_what_test_progs_would_take_it_for(pattern: str, covers: bool) -> None:
    assert Entry(pattern, "because", "DENYLIST:1").covers(TEST) is covers


def test_a_cause_stands_behind_its_line_or_above_it() -> None:
    text = """# SPDX-License-Identifier: GPL-2.0-only
# A page about lists.

# fails since 7.9,
# https://example.org/1
test_a
test_b/test_c   # another cause

test_d # its own
"""
    entries = list(lists.parse(text, "DENYLIST"))
    assert [(entry.pattern, entry.cause, entry.where) for entry in entries] == [
        ("test_a", "fails since 7.9, https://example.org/1", "DENYLIST:6"),
        ("test_b/test_c", "another cause", "DENYLIST:7"),
        ("test_d", "its own", "DENYLIST:9"),
    ]


@pytest.mark.parametrize(
    "text, line",
    [
        ("test_a\n", "DENYLIST:1: test_a has no cause"),
        ("test_a #\n", "DENYLIST:1: test_a has no cause"),
        ("# a cause\ntest_a\n\ntest_b\n", "DENYLIST:4: test_b has no cause"),
        ("# of a\ntest_a\n#\ntest_b\n", "DENYLIST:4: test_b has no cause"),
        ("# a cause\ntest_a test_b\n", "DENYLIST:2: 'test_a test_b' is more than one test"),
    ],
)
def test_a_line_without_a_cause_is_refused(text: str, line: str) -> None:
    with pytest.raises(SpecError) as refused:
        list(lists.parse(text, "DENYLIST"))
    assert refused.value.problem == line
    assert refused.value.remedy


def test_the_lists_of_a_kernel_are_the_common_ones_and_its_own(tmp_path: Path) -> None:
    (tmp_path / "DENYLIST").write_text("test_a # everywhere\n")
    (tmp_path / "DENYLIST.7.2").write_text("test_b # here\n")
    (tmp_path / "DENYLIST.7.3").write_text("test_c # there\n")
    (tmp_path / "ALLOWLIST.7.2").write_text("test_d # here\n")
    found = lists.load("7.2", tmp_path)
    assert [entry.pattern for entry in found.deny] == ["test_a", "test_b"]
    assert [entry.where for entry in found.deny] == ["DENYLIST:1", "DENYLIST.7.2:1"]
    assert [entry.pattern for entry in found.allow] == ["test_d"]


def test_without_lists_every_test_counts(tmp_path: Path) -> None:
    assert lists.load("7.2", tmp_path) == Lists()
    assert Lists().counts(TEST)


def test_the_denylist_goes_before_the_allowlist() -> None:
    deny, allow = (Entry("test_usage", "because", "DENYLIST:1"), Entry("test_*", "because", "ALLOWLIST:1"))
    assert not Lists((deny,), (allow,)).counts(TEST)
    assert Lists((), (allow,)).counts(TEST)
    assert not Lists((), (allow,)).counts("selftests/usage.py::a")


def test_a_list_for_a_kernel_that_there_is_not_is_refused(tmp_path: Path) -> None:
    (tmp_path / "DENYLIST.7.2").touch()
    lists.check_names(["7.2", "7.3"], tmp_path)
    (tmp_path / "ALLOWLIST.7.4").touch()
    with pytest.raises(SpecError, match=r"ALLOWLIST.7.4 is for a kernel '7.4'"):
        lists.check_names(["7.2", "7.3"], tmp_path)


def test_the_lists_of_this_project_are_well_formed() -> None:
    from kfunctest.kernels import named

    kernels = list(named.load())
    lists.check_names(kernels)
    for kernel in kernels:
        lists.load(kernel)
