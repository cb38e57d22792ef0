# SPDX-License-Identifier: GPL-2.0-only
"""The reader of BTF, on BTF that clang makes here and on bytes made by hand."""

from __future__ import annotations

import ctypes
import struct
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from kfunctest import bpfbuild
from kfunctest.guest.btf import Btf, BtfError

SOURCE = """
enum colour { RED, GREEN = 7 };
enum wide { HUGE = 0x100000000ULL };
union word { unsigned int whole; unsigned char parts[4]; };
struct inner { short a; long b; };
struct args {
	enum colour colour;
	_Bool flag;
	struct inner inner[2];
	struct { int x; int y; };
	union word word;
	void *pointer;
};
struct packed { char a; int b; } __attribute__((packed));
struct bits { int a : 3; int b : 29; };
typedef struct args args_t;

args_t args;
struct packed packed;
struct bits bits;
enum wide wide;
int initialised = 5;

__attribute__((btf_decl_tag("of the function")))
__attribute__((section("syscall"))) int program(int *first __attribute__((btf_decl_tag("of the argument"))))
{
	return *first;
}
"""


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("btf")
    source = folder / "types.bpf.c"
    source.write_text(SOURCE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KFUNCTEST_CACHE", str(folder / "cache"))
        return section(bpfbuild.build(source))


@pytest.fixture(scope="module")
def btf(raw: bytes) -> Btf:
    return Btf(raw)


def section(path: Path) -> bytes:
    with path.open("rb") as file:
        found = ELFFile(file).get_section_by_name(".BTF")
        assert found is not None
        return found.data()


def blob(types: bytes, strings: bytes = b"\0") -> bytes:
    """BTF with these types and strings, made by hand."""
    return struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(strings)) + types + strings


def test_enumerators_by_name(btf: Btf) -> None:
    assert btf.enum("colour") == {"RED": 0, "GREEN": 7}


@pytest.mark.parametrize("flag, value", [(1, -3), (0, (1 << 32) - 3)])
def test_enumerator_has_a_sign_where_the_enum_says_so(flag: int, value: int) -> None:
    # Made by hand: compilers before clang 15 never say so.
    types = struct.pack("<III", 1, flag << 31 | 6 << 24 | 1, 4) + struct.pack("<Ii", 6, -3)
    assert Btf(blob(types, b"\0tone\0DARK\0")).enum("tone") == {"DARK": value}


def test_64_bit_enum_is_read_in_both_of_its_words() -> None:
    # Made by hand: clang 14 writes such an enum as a 32-bit one.
    types = struct.pack("<III", 1, 19 << 24 | 1, 8) + struct.pack("<III", 6, 5, 1)
    assert Btf(blob(types, b"\0wide\0HUGE\0")).enum("wide") == {"HUGE": (1 << 32) + 5}


def test_negative_64_bit_enumerator() -> None:
    types = struct.pack("<III", 1, 1 << 31 | 19 << 24 | 1, 8) + struct.pack("<III", 6, 0xFFFFFFFE, 0xFFFFFFFF)
    assert Btf(blob(types, b"\0wide\0TINY\0")).enum("wide") == {"TINY": -2}


def test_struct_becomes_ctypes_with_the_compilers_layout(btf: Btf) -> None:
    args = btf.struct("args")
    assert {name: getattr(args, name).offset for name in ("colour", "flag", "inner", "x", "y", "word", "pointer")} == {
        "colour": 0,
        "flag": 4,
        "inner": 8,
        "x": 40,
        "y": 44,
        "word": 48,
        "pointer": 56,
    }
    assert ctypes.sizeof(args) == 64


def test_values_travel_through_the_struct(btf: Btf) -> None:
    value = btf.struct("args").from_buffer_copy(
        struct.pack("<i?3xh6xqh6xqiiIIQ", 7, True, 1, -2, 3, 4, 5, 6, 258, 0, 9)
    )
    assert (value.colour, value.flag, value.inner[0].b, value.inner[1].a) == (7, True, -2, 3)
    assert (value.x, value.y, list(value.word.parts), value.pointer) == (5, 6, [2, 1, 0, 0], 9)


def test_typedef_is_seen_through(btf: Btf) -> None:
    assert btf.struct("args_t") is btf.struct("args")


@pytest.mark.parametrize("name, why", [("packed", "packed or aligned by hand at b"), ("bits", "a bit-field, a")])
def test_layout_that_ctypes_cannot_have_is_an_error(btf: Btf, name: str, why: str) -> None:
    with pytest.raises(BtfError, match=why):
        btf.struct(name)


def test_variables_of_a_section_have_their_types(btf: Btf) -> None:
    (name, ctype, _offset), *rest = btf.variables(".data")
    assert (name, ctype, rest) == ("initialised", ctypes.c_int32, [])


def test_section_that_is_not_there_has_no_variables(btf: Btf) -> None:
    assert list(btf.variables(".nothing")) == []


def test_functions(btf: Btf) -> None:
    assert list(btf.functions().values()) == ["program"]


def test_tags_name_target_and_component(btf: Btf) -> None:
    assert sorted(btf.decl_tags()) == [("of the argument", "program", 0), ("of the function", "program", -1)]


def test_name_that_only_ends_like_another_is_not_found(btf: Btf) -> None:
    with pytest.raises(KeyError, match="no struct or union or typedef called rgs"):
        btf.struct("rgs")


#: Kind 20 with 4 bytes once and 8 each, between two enums; and what a kernel that knows it would say of its size.
UNKNOWN = struct.pack("<III", 1, 20 << 24 | 2, 0) + bytes(4) + bytes(16)
ENUM_BEFORE, ENUM_AFTER = (struct.pack("<III", name, 6 << 24 | 1, 4) + struct.pack("<Ii", 7, 5) for name in (1, 12))
LAYOUT = bytes(4 * 20) + struct.pack("<BBH", 4, 8, 0)


def with_layout(layout: bytes, order: str = "tsl", cut: int = 0) -> bytes:
    """BTF with an unknown kind and a header of 32 bytes: its sections in this order, the last ``cut`` bytes gone."""
    sections = {"t": ENUM_BEFORE + UNKNOWN + ENUM_AFTER, "s": b"\0first\0ITEM\0second\0", "l": layout}
    body, at = b"", {}
    for name in order:
        at[name] = len(body)
        body += sections[name]
    places = [number for name in "tsl" for number in (at[name], len(sections[name]))]
    return (struct.pack("<HBBI6I", 0xEB9F, 1, 0, 32, *places) + body)[: -cut or None]


@pytest.mark.parametrize("order", ["tsl", "tls", "lts"])
def test_unknown_kind_is_skipped_by_its_layout(order: str) -> None:
    """As bpftool and libbpf do: include/uapi/linux/btf.h, struct btf_layout."""
    found = Btf(with_layout(LAYOUT, order))
    assert len(found) == 3
    assert (found.enum("first"), found.enum("second")) == ({"ITEM": 5}, {"ITEM": 5})


@pytest.mark.parametrize("layout", [b"", LAYOUT[:80], LAYOUT[:80] + struct.pack("<BBH", 3, 8, 0)])
def test_unknown_kind_without_a_usable_layout_is_an_error(layout: bytes) -> None:
    with pytest.raises(BtfError, match=r"type 2 of the BTF is of kind 20, .* no layout of it"):
        Btf(with_layout(layout))


def test_layout_that_reaches_beyond_the_btf_is_an_error() -> None:
    with pytest.raises(BtfError, match="cut short"):
        Btf(with_layout(LAYOUT, cut=1))


def test_unknown_kind_has_no_ctypes_counterpart() -> None:
    with pytest.raises(BtfError, match=r"a type of kind 20, 'first' .* has no ctypes counterpart"):
        Btf(with_layout(LAYOUT)).ctype(2)


def test_newer_kind_is_an_error_that_names_it() -> None:
    with pytest.raises(BtfError, match=r"type 1 of the BTF is of kind 21, .* knows 1 to 19\)"):
        Btf(blob(struct.pack("<III", 0, 21 << 24, 0)))


def test_kinds_that_a_newer_kernel_may_use_are_not_taken_for_older_ones() -> None:
    """Seven bits of kind: 35 is not 3 with a stray bit."""
    with pytest.raises(BtfError, match="of kind 35"):
        Btf(blob(struct.pack("<III", 0, 35 << 24, 0)))


@pytest.mark.parametrize("length", [0, 3, 20, 60, -5])
def test_btf_that_is_cut_short_is_an_error(raw: bytes, length: int) -> None:
    with pytest.raises(BtfError):
        Btf(raw[:length])


def test_type_that_reaches_beyond_the_section_is_an_error() -> None:
    with pytest.raises(BtfError, match="type 1 of the BTF is cut short"):
        Btf(blob(struct.pack("<III", 0, 4 << 24 | 3, 8)))


def test_something_else_is_an_error() -> None:
    with pytest.raises(BtfError, match="begins with the bytes 9f eb, this with 7f 45"):
        Btf(b"\x7fELF" + bytes(60))


@pytest.mark.skipif(not Path("/sys/kernel/btf/vmlinux").exists(), reason="this machine's kernel has no BTF")
def test_a_whole_kernel() -> None:
    kernel = Btf(Path("/sys/kernel/btf/vmlinux").read_bytes())
    assert kernel.enum("pid_type")["PIDTYPE_PID"] == 0
    assert "schedule" in kernel.functions().values()
