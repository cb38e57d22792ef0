# SPDX-License-Identifier: GPL-2.0-only
"""Which functions are taken for memcg kfuncs: by tags, by sets, and without either by name and signature."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import pytest

from kfunctest import contract
from kfunctest.kernels import facts, image
from kfunctest.kernels.model import Facts
from tests import fakekernel
from tests.fakekernel import MEMCG, Function
from tests.pytest_result import written

KNOWN = sorted(contract.ALL)
TAGGED = [Function(name, (MEMCG,), tagged=True) for name in KNOWN]
NINTH = "bpf_proactive_reclaim"


def read(tmp_path: Path, functions: Sequence[str | Function], *sets: Sequence[str]) -> Facts:
    """The facts of an image; what was read of another one is not taken from the cache."""
    return facts.read(written(tmp_path / "bzImage", fakekernel.image(functions=functions, sets=sets))).facts


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KFUNCTEST_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("more", [[], [Function(NINTH, (MEMCG, "void", "void"), tagged=True)]], ids=["8", "9"])
def test_tagged_kfunc_is_found_wherever_it_is_registered(tmp_path: Path, more: list[Function]) -> None:
    found = read(tmp_path, [*TAGGED, *more], KNOWN, *([NINTH] for _ in more))
    assert found.kfuncs == contract.ALL
    assert found.unknown_kfuncs == {function.name for function in more}


@pytest.mark.parametrize(
    "function",
    [
        Function("bpf_new", (MEMCG,), tagged=True),
        Function("bpf_new", ("void", MEMCG), tagged=True),
        Function("bpf_new", ("ptr other",), returns=MEMCG, tagged=True),
        Function("bpf_memcg_new", (), tagged=True),
        Function("mem_cgroup_new", (), tagged=True),
    ],
)
def test_tagged_kfunc_that_has_to_do_with_memcgs(tmp_path: Path, function: Function) -> None:
    assert read(tmp_path, [*TAGGED, function]).unknown_kfuncs == {function.name}


@pytest.mark.parametrize(
    "function",
    [
        Function("bpf_map_memcg_exit", (MEMCG, MEMCG)),
        Function("bpf_memcg_high_policy", (MEMCG, MEMCG, "void")),
        Function("bpf_task_acquire", ("ptr other",), returns="ptr other", tagged=True),
    ],
)
def test_where_kfuncs_are_tagged_no_other_function_is_one(tmp_path: Path, function: Function) -> None:
    assert not read(tmp_path, [*TAGGED, function]).unknown_kfuncs


@pytest.mark.parametrize("tags", [True, False], ids=["tagged", "untagged"])
def test_member_of_a_memcg_set_is_found_whatever_it_takes(tmp_path: Path, tags: bool) -> None:
    plain: Sequence[str | Function] = TAGGED if tags else KNOWN
    found = read(tmp_path, [*plain, "bpf_new", "bpf_other"], ["bpf_other"], [*KNOWN, "bpf_new"])
    assert found.unknown_kfuncs == {"bpf_new"}


def test_untagged_kfuncs_are_told_from_plain_functions_by_their_sets(tmp_path: Path) -> None:
    functions: list[str | Function] = [
        *KNOWN,
        Function(NINTH, (MEMCG, "void")),
        Function("bpf_memcg_high_policy", (MEMCG, MEMCG)),
    ]
    assert read(tmp_path, functions, KNOWN, [NINTH]).unknown_kfuncs == {NINTH}


@pytest.mark.parametrize("tagged", [True, False])
def test_sets_and_tags_without_the_known_kfuncs_are_not_relied_on(tmp_path: Path, tagged: bool) -> None:
    """Something is wrong with what was read: a kfunc must not be missed for it."""
    other = Function("bpf_other", (), tagged=tagged)
    found = read(tmp_path, [*KNOWN, other, Function("bpf_new", (MEMCG,))], *([] if tagged else [["bpf_other"]]))
    assert found.unknown_kfuncs == {"bpf_new"}


@pytest.mark.parametrize(
    "words", ["ptr struct", "ptr const struct", "const ptr tag volatile struct", "typedef ptr typedef struct",
              "restrict ptr forward"]
)  # fmt: skip
def test_without_tags_and_sets_name_and_signature_decide(words: str) -> None:
    btf = fakekernel.btf(fakekernel.ENUMS, [*KNOWN, Function("bpf_new", (words, "void"))])
    assert facts.of_btf(btf, "it").unknown_kfuncs == {"bpf_new"}


@pytest.mark.parametrize(
    "function",
    [
        Function("bpf_new", ("void", MEMCG)),
        Function("bpf_new", ("ptr ptr struct",)),
        Function("bpf_new", ("struct",)),
        Function("bpf_new", ("ptr other",)),
        Function("bpf_new", ("ptr void",)),
        Function("bpf_new", (), returns=MEMCG),
        Function("mem_cgroup_new", (MEMCG,)),
        Function("bpf_map_memcg_exit", (MEMCG, MEMCG)),
        Function("bpf_map_memcg_enter", ("ptr other",)),
    ],
)
def test_without_tags_and_sets_what_is_no_memcg_kfunc_by_its_looks(function: Function) -> None:
    assert not facts.of_btf(fakekernel.btf(fakekernel.ENUMS, [*KNOWN, function]), "it").unknown_kfuncs


def test_family_s_name_is_enough_without_tags() -> None:
    btf = fakekernel.btf(fakekernel.ENUMS, [*KNOWN, "bpf_mem_cgroup_new"])
    assert facts.of_btf(btf, "it").unknown_kfuncs == {"bpf_mem_cgroup_new"}


def test_type_that_refers_to_itself_is_no_memcg() -> None:
    """A typedef whose type is the typedef: damaged, and no reason to hang."""
    btf = bytearray(fakekernel.btf(fakekernel.ENUMS, [Function("bpf_new", ("typedef void",))]))
    at = btf.index(struct.pack("<II", 8 << 24, 0))
    number = sum(1 for _ in fakekernel.ENUMS) + 2
    btf[at + 4 : at + 8] = struct.pack("<I", number)
    assert not facts.of_btf(bytes(btf), "it").unknown_kfuncs


@pytest.mark.parametrize("ids", [b"", b"abc", bytes(8), b"\xff" * 64], ids=["none", "short", "zeros", "ones"])
def test_section_of_ids_that_holds_no_set(tmp_path: Path, ids: bytes) -> None:
    payload = fakekernel.elf({".BTF": fakekernel.btf(fakekernel.ENUMS, KNOWN), ".BTF_ids": ids})
    path = written(tmp_path / "bzImage", fakekernel.bzimage(fakekernel.gzip(payload)))
    found = facts.read(path).facts
    assert (found.kfuncs, found.unknown_kfuncs) == (contract.ALL, frozenset())
    assert image.section(payload, ".BTF_ids") == ids
