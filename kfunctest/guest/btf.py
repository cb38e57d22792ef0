# SPDX-License-Identifier: GPL-2.0-only
"""BTF, the kernel's type information, as Python values and ctypes types.

Reads a BPF object's ``.BTF`` and a kernel's whole vmlinux BTF (6 MB, 160,000 types). Opening one finds only where each
type begins; a type is decoded when it is asked for. Format: Documentation/bpf/btf.rst and include/uapi/linux/btf.h.
"""

from __future__ import annotations

import ctypes
import struct

TYPE_CHECKING = False  # typing itself is not imported: this module also loads in the guest, where every import costs
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    #: A ctypes type: a simple one, an array, a structure or a union.
    CType = type[Any]

# fmt: off
(INT, PTR, ARRAY, STRUCT, UNION, ENUM, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT, FUNC,
 FUNC_PROTO, VAR, DATASEC, FLOAT, DECL_TAG, TYPE_TAG, ENUM64) = range(1, 20)
KINDS = ("void", "int", "pointer", "array", "struct", "union", "enum", "forward declaration", "typedef", "volatile",
         "const", "restrict", "function", "function prototype", "variable", "data section", "float", "declaration tag",
         "type tag", "64-bit enum")
# fmt: on

#: 32-bit words behind the three that begin every type: once, and per element.
_FIXED = {INT: 1, ARRAY: 3, VAR: 1, DECL_TAG: 1}
_ELEMENT = {STRUCT: 3, UNION: 3, ENUM: 2, FUNC_PROTO: 2, DATASEC: 3, ENUM64: 3}

#: Kinds that only qualify or rename the type that they refer to.
_SEEN_THROUGH = (TYPEDEF, VOLATILE, CONST, RESTRICT, TYPE_TAG)

_MAGIC = 0xEB9F
_SIGNED, _BOOL = 1, 4  # BTF_INT_SIGNED, BTF_INT_BOOL
# fmt: off
_INTEGERS: dict[tuple[int, bool], CType] = {
    (1, False): ctypes.c_uint8, (2, False): ctypes.c_uint16, (4, False): ctypes.c_uint32, (8, False): ctypes.c_uint64,
    (1, True): ctypes.c_int8, (2, True): ctypes.c_int16, (4, True): ctypes.c_int32, (8, True): ctypes.c_int64,
}
# fmt: on


class BtfError(ValueError):
    """The BTF is damaged, holds a kind that its layout does not describe, or a type without a ctypes counterpart."""


class Btf:
    """The types of one BTF blob.

    A kind of type that is unknown here is skipped by the layout section, which kernels from 7.1 on may have. Raises
    BtfError when ``raw`` is no little-endian BTF, is cut short, or holds an unknown kind that no layout describes.
    """

    def __init__(self, raw: bytes) -> None:
        if len(raw) < 24:
            raise BtfError(f"BTF has a header of at least 24 bytes, this has {len(raw)} bytes")
        magic, _version, _flags, header, types_at, types_len, strings_at, strings_len = struct.unpack_from(
            "<HBBIIIII", raw
        )
        if magic != _MAGIC:
            raise BtfError(f"BTF begins with the bytes 9f eb, this with {raw[:2].hex(' ')}")
        layout_at, layout_len = struct.unpack_from("<II", raw, 24) if header >= 32 <= len(raw) else (0, 0)
        if header + max(types_at + types_len, strings_at + strings_len, layout_at + layout_len) > len(raw):
            raise BtfError(f"the BTF is cut short: {len(raw)} bytes")
        self._strings = raw[header + strings_at : header + strings_at + strings_len]
        if types_len % 4:
            raise BtfError(f"the BTF's type section has {types_len} bytes, which is no multiple of 4")
        self._words = memoryview(raw)[header + types_at : header + types_at + types_len].cast("I")
        self._starts = _starts(self._words, raw[header + layout_at : header + layout_at + layout_len])
        self._by_name: dict[int, list[int]] | None = None
        self._ctypes: dict[int, CType] = {}

    def __len__(self) -> int:
        """The number of types; their ids are 1 ... this."""
        return len(self._starts) - 1

    def enum(self, name: str) -> dict[str, int]:
        """The enumerators of ``enum name`` with their values. Raises KeyError when there is no such enum."""
        return self.enumerators(self.find(name, ENUM, ENUM64))

    def enumerators(self, type_id: int) -> dict[str, int]:
        """The enumerators of the enum with this id, named or not."""
        kind, signed, _size, elements = self._decode(type_id)
        bits = 64 if kind == ENUM64 else 32
        values = {}
        for element in elements:
            value = element[1] | element[2] << 32 if kind == ENUM64 else element[1]
            values[self._string(element[0])] = value - (1 << bits) if signed and value >> bits - 1 else value
        return values

    def functions(self) -> dict[int, str]:
        """The names of all functions, by id: in a kernel's BTF the kfuncs are among them."""
        words, string = self._words, self._string
        return {
            type_id: string(words[at])
            for type_id, at in enumerate(self._starts)
            if type_id and words[at + 1] >> 24 & 0x7F == FUNC
        }

    def signature(self, function: int) -> list[str]:
        """What the function with this id returns, and then each argument: the struct that it points to, or empty."""
        _kind, _flag, returned, arguments = self._decode(self._words[self._starts[function] + 2])
        return [self._pointed_to(type_id) for type_id in (returned, *(argument[1] for argument in arguments))]

    def _pointed_to(self, type_id: int) -> str:
        """The struct that a pointer leads to, past typedefs, qualifiers and tags; empty where this is no such type."""
        pointers = 0
        for _ in range(len(self._starts)):  # a damaged BTF may refer to itself
            kind, _flag, next_id, _records = self._decode(type_id)
            if kind in (STRUCT, FWD):
                return self.name(type_id) if pointers == 1 else ""
            if kind != PTR and kind not in _SEEN_THROUGH:
                break
            pointers += kind == PTR
            type_id = next_id
        return ""

    def struct(self, name: str) -> CType:
        """``struct name``, ``union name`` or the typedef as a ctypes type. Raises KeyError when there is none."""
        return self.ctype(self.find(name, STRUCT, UNION, TYPEDEF))

    def variables(self, section: str) -> Iterator[tuple[str, CType, int]]:
        """Name, ctypes type and offset in bytes of each variable of a data section like ``.bss``.

        Nothing when there is no such section. Needs the section's offsets as libbpf or the compiler filled them in.
        """
        try:
            section_id = self.find(section, DATASEC)
        except KeyError:
            return
        for type_id, offset, _size in self._decode(section_id)[3]:
            yield self.name(type_id), self.ctype(self._words[self._starts[type_id] + 2]), offset

    def decl_tags(self) -> list[tuple[str, str, int]]:
        """``btf_decl_tag`` attributes by id: text, name of the target, index of its component or -1.

        The component is a function's parameter or a struct's member; -1 is the whole target.
        """
        words = self._words
        tags = []
        for at in self._starts[1:]:
            if words[at + 1] >> 24 & 0x7F == DECL_TAG:
                index = words[at + 3]
                tags.append((self._string(words[at]), self.name(words[at + 2]), -1 if index == 0xFFFFFFFF else index))
        return tags

    def name(self, type_id: int) -> str:
        """The name of the type with this id, empty where it has none."""
        return self._string(self._words[self._starts[type_id]]) if type_id else "void"

    def find(self, name: str, *kinds: int) -> int:
        """The id of the first type called ``name`` that is one of ``kinds``. Raises KeyError when there is none."""
        if self._by_name is None:
            self._by_name = {}
            for type_id in range(1, len(self._starts)):
                self._by_name.setdefault(self._words[self._starts[type_id]], []).append(type_id)
        text = name.encode() + b"\0"
        at = self._strings.find(text)
        while at >= 0:
            for type_id in self._by_name.get(at, ()):
                if self._kind(type_id) in kinds:
                    return type_id
            at = self._strings.find(text, at + 1)
        raise KeyError(f"BTF has no {' or '.join(KINDS[kind] for kind in kinds)} called {name}")

    def ctype(self, type_id: int) -> CType:
        """The ctypes type with this id; pointers become ``c_uint64``. Raises BtfError when ctypes cannot express it."""
        if type_id not in self._ctypes:
            self._ctypes[type_id] = self._make(type_id)
        return self._ctypes[type_id]

    def _make(self, type_id: int) -> CType:
        kind, signed, size, elements = self._decode(type_id)
        if kind in _SEEN_THROUGH:
            return self.ctype(size)
        if kind == PTR:
            return ctypes.c_uint64
        if kind == ARRAY:
            of, _index, count = elements[0]
            return self.ctype(of) * count  # type: ignore[no-any-return]
        if kind in (STRUCT, UNION):
            return self._make_struct(type_id)
        if kind == INT:
            encoding = elements[0][0] >> 24
            if encoding & _BOOL:
                return ctypes.c_bool
            signed = bool(encoding & _SIGNED)
        if kind in (INT, ENUM, ENUM64) and (size, signed) in _INTEGERS:
            return _INTEGERS[size, signed]
        what = KINDS[kind] if kind < len(KINDS) else f"a type of kind {kind},"
        raise BtfError(f"{what} {self.name(type_id)!r} of {size} bytes has no ctypes counterpart here")

    def _make_struct(self, type_id: int) -> CType:
        kind, bit_fields, size, members = self._decode(type_id)
        name = self.name(type_id)
        base: CType = ctypes.Structure if kind == STRUCT else ctypes.Union
        made: CType = type(name or f"anonymous_{type_id}", (base,), {})
        names = [self._string(member[0]) or f"_anonymous_{n}" for n, member in enumerate(members)]
        made._anonymous_ = [field for field in names if field.startswith("_anonymous_")]
        made._fields_ = [(field, self.ctype(member[1])) for field, member in zip(names, members, strict=True)]
        for field, member in zip(names, members, strict=True):
            if bit_fields and member[2] >> 24:
                raise BtfError(f"struct {name} has a bit-field, {field}, which is not supported")
            if getattr(made, field).offset * 8 != member[2]:
                raise BtfError(f"struct {name} is packed or aligned by hand at {field}, which is not supported")
        if ctypes.sizeof(made) != size:
            raise BtfError(f"struct {name} has {size} bytes, its members say {ctypes.sizeof(made)}")
        return made

    def _kind(self, type_id: int) -> int:
        return self._words[self._starts[type_id] + 1] >> 24 & 0x7F

    def _decode(self, type_id: int) -> tuple[int, bool, int, list[tuple[int, ...]]]:
        """Kind, kind flag, size in bytes (or the id of the type referred to), and the records that follow."""
        words = self._words
        at = self._starts[type_id] if type_id else -1
        if at < 0:
            return 0, False, 0, []
        info, size = words[at + 1], words[at + 2]
        kind = info >> 24 & 0x7F
        if kind in _ELEMENT:
            count, width = info & 0xFFFFFF, _ELEMENT[kind]
        else:
            count, width = 1, _FIXED.get(kind, 0)
        records = [tuple(words[at + 3 + n * width : at + 3 + (n + 1) * width]) for n in range(count)] if width else []
        return kind, bool(info >> 31), size, records

    def _string(self, offset: int) -> str:
        return self._strings[offset : self._strings.index(0, offset)].decode()


def _starts(words: memoryview, layout: bytes) -> list[int]:
    """Where each type begins, in words, by type id; id 0 is void and has no place.

    Bits as of Linux 7.2: the kind has seven, the count of elements twenty-four; earlier kernels left the rest zero.
    """
    each = [_ELEMENT.get(kind, 0) for kind in range(len(KINDS))]
    once = [3 + _FIXED.get(kind, 0) for kind in range(len(KINDS))]
    # struct btf_layout, by kind: bytes behind the first three words, bytes of each element, flags.
    for fixed, element, _flags in struct.iter_unpack("<BBH", layout[4 * len(KINDS) : len(layout) & ~3]):
        if fixed % 4 or element % 4:
            break
        once.append(3 + fixed // 4)
        each.append(element // 4)
    starts = [0]
    append = starts.append
    at, end = 0, len(words)
    try:
        while at < end:
            append(at)
            info = words[at + 1]
            kind = info >> 24 & 0x7F
            at += once[kind] + each[kind] * (info & 0xFFFFFF)
    except IndexError:
        if at + 1 >= end:
            raise BtfError(f"type {len(starts) - 1} of the BTF is cut short") from None
        kind = words[at + 1] >> 24 & 0x7F
        raise BtfError(
            f"type {len(starts) - 1} of the BTF is of kind {kind}, which is newer than this reader (it knows 1 to "
            f"{len(KINDS) - 1}), and the BTF has no layout of it"
        ) from None
    if at != end:
        raise BtfError(f"type {len(starts) - 1} of the BTF is cut short")
    return starts
