# SPDX-License-Identifier: GPL-2.0-only
"""Memory that BPF programs, or the verifier, share with us: global variables, maps, the log."""

from __future__ import annotations

import ctypes
import errno
import mmap

from kfunctest.guest.libbpf_abi import BpfError, Library

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from kfunctest.guest.btf import Btf, CType

_RDONLY_PROG = 1 << 7  # BPF_F_RDONLY_PROG: .rodata, frozen by libbpf once it is loaded
_SIMPLE: Any = ctypes.c_int.__mro__[1]  # what c_int, c_bool, ... have in common; ctypes gives it a private name only
_PER_CPU = (5, 6, 10, 21)  # BPF_MAP_TYPE_PERCPU_HASH, _PERCPU_ARRAY, _LRU_PERCPU_HASH, _PERCPU_CGROUP_STORAGE


def plain(value: Any) -> Any:
    """An int or bool for a simple ctypes value; an array or struct as it is: a live view."""
    return value.value if isinstance(value, _SIMPLE) else value


class Globals:
    """The variables of ``.bss``, ``.data*`` and ``.rodata*`` by name; arrays and structs are live views.

    Before the object is loaded they are its initial values, ``.rodata`` among them; afterwards they are the memory that
    the programs see, and ``.rodata`` can only be read. Raises KeyError for a name that the object does not define.
    """

    def __init__(self, btf: Btf, sections: dict[str, Any], frozen: frozenset[str] = frozenset()) -> None:
        self._places: dict[str, tuple[CType, Any, int, bool]] = {}
        for section, memory in sections.items():
            for name, ctype, offset in btf.variables(section):
                self._places[name] = (ctype, memory, offset, section in frozen)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def view(self, name: str) -> Any:
        """The variable as a live ctypes object, also where it is a simple one."""
        ctype, memory, offset, _frozen = self._places[name]
        return ctype.from_buffer(memory, offset)

    def __getitem__(self, name: str) -> Any:
        return plain(self.view(name))

    def __setitem__(self, name: str, value: Any) -> None:
        if self._places[name][3]:
            raise BpfError(errno.EPERM, f"{name} is constant once the object is loaded; set it before load()")
        view = self.view(name)
        if isinstance(view, _SIMPLE):
            view.value = value
        elif isinstance(view, ctypes.Array) and isinstance(value, (list, tuple)):
            view[: len(value)] = list(value)
        else:
            raw = bytes(value)
            if len(raw) > ctypes.sizeof(view):
                raise BpfError(errno.E2BIG, f"{name} has {ctypes.sizeof(view)} bytes, got {len(raw)}")
            ctypes.memmove(ctypes.addressof(view), raw, len(raw))


class Map:
    """A BPF map of a loaded object, by keys and values as bytes, or as the types that its definition names.

    Where BTF knows a type, an int or a ctypes instance is taken, and returned, too. Raises BpfError.
    """

    def __init__(self, lib: Library, pointer: int, btf: Btf) -> None:
        self._lib = lib
        self.name = lib.c.bpf_map__name(pointer).decode()
        self._fd: int = lib.c.bpf_map__fd(pointer)
        self._key_size, self._value_size = lib.c.bpf_map__key_size(pointer), lib.c.bpf_map__value_size(pointer)
        key, value = lib.c.bpf_map__btf_key_type_id(pointer), lib.c.bpf_map__btf_value_type_id(pointer)
        self._key_type: CType | None = btf.ctype(key) if key else None
        self._value_type: CType | None = btf.ctype(value) if value else None
        if lib.c.bpf_map__type(pointer) in _PER_CPU:
            raise BpfError(errno.ENOTSUP, f"map {self.name} has a value per CPU, which is not supported")

    @property
    def fd(self) -> int:
        """The map's file descriptor; it belongs to the object."""
        if self._fd < 0:
            raise BpfError(errno.EBADF, f"map {self.name} is not made before its object is loaded")
        return self._fd

    def __getitem__(self, key: Any) -> Any:
        value = ctypes.create_string_buffer(self._value_size)
        found = self._lib.c.bpf_map_lookup_elem(self.fd, self._bytes(key, self._key_type, self._key_size), value)
        self._lib.check(found, f"look up {key!r} in map {self.name}")
        return plain(self._value_type.from_buffer_copy(value)) if self._value_type else value.raw

    def __setitem__(self, key: Any, value: Any) -> None:
        made = self._lib.c.bpf_map_update_elem(
            self.fd,
            self._bytes(key, self._key_type, self._key_size),
            self._bytes(value, self._value_type, self._value_size),
            0,  # BPF_ANY
        )
        self._lib.check(made, f"update {key!r} in map {self.name}")

    def _bytes(self, value: Any, ctype: CType | None, size: int) -> Any:
        if isinstance(value, int):
            value = bytes(ctype(value)) if ctype else value.to_bytes(size, "little")
        raw = bytes(value)
        if len(raw) != size:
            raise BpfError(errno.EINVAL, f"map {self.name} wants {size} bytes, got {len(raw)}")
        return ctypes.create_string_buffer(raw, size)


def sections(lib: Library, maps: dict[str, int]) -> dict[str, int]:
    """The internal maps that hold variables, by the name of their section."""
    # libbpf calls them by a prefix of the object's name and the section, and only custom sections by the section alone.
    found = {}
    for name, pointer in maps.items():
        section = name[name.find(".") :]
        if lib.c.bpf_map__is_internal(pointer) and section.startswith((".bss", ".data", ".rodata")):
            found[section] = pointer
    return found


def initial(lib: Library, btf: Btf, maps: dict[str, int]) -> Globals:
    """The variables of an object that is not loaded yet."""
    return Globals(btf, {section: _memory(lib, pointer) for section, pointer in sections(lib, maps).items()})


def live(lib: Library, btf: Btf, maps: dict[str, int]) -> Globals:
    """The variables of a loaded object.

    From the maps alone: what libbpf knows of a section after the load differs from version to version.
    """
    memory: dict[str, Any] = {}
    frozen = set()
    for section, pointer in sections(lib, maps).items():
        size, fd = lib.c.bpf_map__value_size(pointer), lib.c.bpf_map__fd(pointer)
        if lib.c.bpf_map__map_flags(pointer) & _RDONLY_PROG:
            copy = ctypes.create_string_buffer(size)
            lib.check(lib.c.bpf_map_lookup_elem(fd, bytes(4), copy), f"read {section}")
            memory[section] = bytearray(copy)
            frozen.add(section)
        else:
            memory[section] = mmap.mmap(fd, -(-size // mmap.PAGESIZE) * mmap.PAGESIZE)
    return Globals(btf, memory, frozenset(frozen))


def _memory(lib: Library, pointer: int) -> Any:
    size = ctypes.c_size_t()
    address = lib.check(lib.c.bpf_map__initial_value(pointer, ctypes.byref(size)), "initial value")
    return (ctypes.c_char * size.value).from_address(address)


def log_buffer(size: int) -> tuple[mmap.mmap, int]:
    """Memory for a verifier log of up to ``size`` bytes, and its address. Only pages that are written to exist."""
    buffer = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    buffer.madvise(mmap.MADV_NOHUGEPAGE)  # else the first byte charges 2 MiB to our cgroup
    return buffer, ctypes.addressof(ctypes.c_char.from_buffer(buffer))


def log_text(buffer: mmap.mmap) -> str:
    """What the verifier wrote."""
    return buffer[: buffer.find(b"\0")].decode(errors="replace")
