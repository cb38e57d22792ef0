# SPDX-License-Identifier: GPL-2.0-only
"""DENYLIST and ALLOWLIST, in the form of BPF's CI."""

from __future__ import annotations

from pathlib import Path

import pytest

from kfunctest.errors import SpecError
from kfunctest.gate import lists
from kfunctest.gate.lists import Entry, Lists
from tests.pytest_result import Judge

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
        ("# a cause\ntest_a,test_b\n", "DENYLIST:2: 'test_a,test_b' is more than one test"),
        ("# a cause\ntest_a [x]\n", "DENYLIST:2: 'test_a [x]' is more than one test"),
        ("test_a/ # a cause\n", "DENYLIST:1: 'test_a/' names no subtest"),
        ("test_a.py:: # a cause\n", "DENYLIST:1: 'test_a.py::' names no subtest"),
        (
            "test_a[x y # why\n",
            "DENYLIST:1: 'test_a[x y # why' does not name one test: only a # and its cause may follow the ]",
        ),
        (
            "test_a[x] test_b # why\n",
            "DENYLIST:1: 'test_a[x] test_b # why' does not name one test: only a # and its cause may follow the ]",
        ),
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


@pytest.mark.parametrize(
    "line, pattern, cause",
    [
        ("test_a/test_b[x y] # why", "test_a/test_b[x y]", "why"),
        ("test_a/test_b[#1] # why", "test_a/test_b[#1]", "why"),
        ("test_a/test_b[x # y] # see [1] # there", "test_a/test_b[x # y]", "see [1] # there"),
        ("test_a/test_b[x] y] # why", "test_a/test_b[x] y]", "why"),
        ("test_a/test_b[x,/y] # why", "test_a/test_b[x,/y]", "why"),
        ("test_a/test_b[4 * # why", "test_a/test_b[4 *", "why"),
        ("test_a/test_b[4]* # why", "test_a/test_b[4]*", "why"),
        ("selftests/test_a.py::test_b[x/y.py::z] # why", "test_a/test_b[x/y.py::z]", "why"),
        ("selftests/test_a.py::TestC::test_b # why", "test_a/TestC::test_b", "why"),
        ("selftests/test_a.py # why", "test_a", "why"),
        ("test_a.py/test_b # why", "test_a/test_b", "why"),
        ("test_a::test_b # why", "test_a/test_b", "why"),
        ("test_a\t#\twhy", "test_a", "why"),
        ("  test_a    # returns -1     (memcg)  ", "test_a", "returns -1 (memcg)"),
        ("*/test_b # why", "*/test_b", "why"),
    ],
)
def test_a_line_is_a_test_as_bpf_ci_or_pytest_names_it_and_its_cause(line: str, pattern: str, cause: str) -> None:
    assert list(lists.parse(f"{line}\n", "DENYLIST")) == [Entry(pattern, cause, "DENYLIST:1")]


def test_every_test_that_pytest_prints_can_be_listed_by_its_id(judge: Judge, image: Path) -> None:
    ended = judge("--collect-only", "-q", "--kernel", image, tests="selftests")
    ids = [line for line in ended.text.splitlines() if line.startswith("selftests/")]
    assert ended.status == 0, ended.text
    assert any(" " in test for test in ids), "no id has a blank: this would prove little"
    for test in ids:
        by_id, by_name = lists.parse(f"{test} # why\n{'/'.join(lists.split(test))} # why\n", "DENYLIST")
        assert by_id.pattern == by_name.pattern, test
        assert by_id.covers(test), test
        assert by_id.cause == "why", test


def test_how_a_list_was_saved_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "DENYLIST").write_bytes("\ufeff# a cause\r\ntest_a\r\n\r\ntest_b # another ä one".encode())
    found = [(entry.pattern, entry.cause) for entry in lists.load("7.2", tmp_path).deny]
    assert found == [("test_a", "a cause"), ("test_b", "another ä one")]
    (tmp_path / "DENYLIST").write_bytes("test_a # why\n".encode("utf-16"))
    with pytest.raises(SpecError, match="is no UTF-8 text") as refused:
        lists.load("7.2", tmp_path)
    assert refused.value.remedy == "save it as UTF-8"


@pytest.mark.parametrize(
    "name, right",
    [
        ("DENYLIST-7.2-slim", "DENYLIST.7.2-slim"),
        ("denylist.7.2-slim", "DENYLIST.7.2-slim"),
        ("DENYLIST_7.2_slim.txt", "DENYLIST.7.2-slim"),
        ("allowlist", "ALLOWLIST"),
        ("DENYLIST.txt", "DENYLIST"),
        ("DENYLIST~", "DENYLIST"),
        ("deny-list", "DENYLIST"),
    ],
)
def test_a_list_whose_name_differs_in_vain_is_rejected_with_the_right_name(
    tmp_path: Path, name: str, right: str
) -> None:
    (tmp_path / name).touch()
    with pytest.raises(SpecError, match="nothing would read") as refused:
        lists.check_names(["7.2-slim", "debian-newest"], tmp_path)
    assert refused.value.remedy == f"rename it to {right}, or remove it"


@pytest.mark.parametrize("name", ["DENYLIST-latest", "7.2-slim.denylist"])
def test_a_file_that_is_no_list_by_its_name_but_was_meant_as_one_is_rejected(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(SpecError, match=f"nothing would read .*{name}: lists are named DENYLIST, ALLOWLIST"):
        lists.check_names(["7.2-slim"], tmp_path)
