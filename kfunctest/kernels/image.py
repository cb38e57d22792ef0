# SPDX-License-Identifier: GPL-2.0-only
"""Reads x86-64 kernel images (bzImage) without booting them.

The layout of the setup header is Documentation/arch/x86/boot.rst of the kernel; the offsets below carry its names.
"""

from __future__ import annotations

import bz2
import io
import lzma
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import lz4.block
import zstandard
from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from kfunctest.errors import SpecError

_SETUP_SECTS: Final = 0x1F1
_MAGIC_AT: Final = 0x202
_KERNEL_VERSION: Final = 0x20E
_XLOADFLAGS: Final = 0x236
_PAYLOAD_OFFSET: Final = 0x248
_HEADER_END: Final = 0x268
_SECTOR: Final = 512
_XLF_KERNEL_64: Final = 1
#: The largest block of lz4's legacy frame, in bytes (fixed by the format).
_LZ4_BLOCK: Final = 8 << 20

_VERIFIED: Final = "this suite was verified on x86-64 with 4 KiB pages only"


@dataclass(frozen=True, slots=True)
class Image:
    """A bzImage's content: the release from its header, and the compressed kernel inside it."""

    path: Path
    release: str
    payload: memoryview


def parse(path: Path, data: bytes) -> Image:
    """Take the header of the image ``data``, read from ``path``.

    Raises SpecError when it is not an x86-64 Linux image, and says what it is instead where that can be told.
    """
    if len(data) < _HEADER_END or data[_MAGIC_AT : _MAGIC_AT + 4] != b"HdrS":
        raise _no_image(path, data)
    if not struct.unpack_from("<H", data, _XLOADFLAGS)[0] & _XLF_KERNEL_64:
        raise SpecError(f"{path} is a 32-bit x86 kernel", remedy=_VERIFIED)
    version_at = struct.unpack_from("<H", data, _KERNEL_VERSION)[0] + _SECTOR
    words = data[version_at : version_at + 256].split(b"\0")[0].split()
    setup_sectors = data[_SETUP_SECTS] or 4  # 0 means 4, for images older than the field
    offset, length = struct.unpack_from("<II", data, _PAYLOAD_OFFSET)
    start = (setup_sectors + 1) * _SECTOR + offset
    if not words or not length or start + length > len(data):
        raise SpecError(f"{path} is a damaged kernel image: it is cut short or its header is wrong")
    return Image(path, words[0].decode(errors="replace"), memoryview(data)[start : start + length])


def _no_image(path: Path, data: bytes) -> SpecError:
    if data[56:60] == b"ARM\x64":
        return SpecError(f"{path} is an arm64 kernel", remedy=_VERIFIED)
    if data[48:56] == b"RISCV\0\0\0":
        return SpecError(f"{path} is a RISC-V kernel", remedy=_VERIFIED)
    if data[:4] == b"\x7fELF":
        machine = struct.unpack_from("<H" if data[5:6] == b"\1" else ">H", data.ljust(20, b"\0"), 18)[0]
        if machine != 62:  # EM_X86_64
            return SpecError(f"{path} is an ELF file for another architecture (e_machine {machine})", remedy=_VERIFIED)
        return SpecError(f"{path} is an ELF file, not a bootable image", remedy="pass arch/x86/boot/bzImage instead")
    if data[:2] == b"MZ":
        return SpecError(f"{path} is an EFI program, but no x86 Linux image", remedy=_VERIFIED)
    if data[:2] == b"\x1f\x8b":
        return SpecError(f"{path} is a gzip file, not an x86 kernel image", remedy=f"unpack it first; {_VERIFIED}")
    return SpecError(f"{path} is no kernel image", remedy="pass a bzImage, as in arch/x86/boot/ or /boot/vmlinuz-*")


class _Decompressor(Protocol):
    """What the decompressors of the standard library and of zstandard have in common."""

    @property
    def eof(self) -> bool: ...
    def decompress(self, data: memoryview, /) -> bytes: ...


def _whole(decompressor: _Decompressor, data: memoryview) -> bytes:
    """Unpack one stream and ignore the kernel's trailer behind it; these objects take a cut stream without a word."""
    unpacked = decompressor.decompress(data)
    if not decompressor.eof:
        raise EOFError("it is cut short")
    return unpacked


def _gzip(data: memoryview) -> bytes:
    return _whole(zlib.decompressobj(wbits=31), data)


def _xz(data: memoryview) -> bytes:
    return _whole(lzma.LZMADecompressor(lzma.FORMAT_XZ), data)


def _lzma_alone(data: memoryview) -> bytes:
    return _whole(lzma.LZMADecompressor(lzma.FORMAT_ALONE), data)


def _bzip2(data: memoryview) -> bytes:
    return _whole(bz2.BZ2Decompressor(), data)


def _zstd(data: memoryview) -> bytes:
    return _whole(zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj(), data)


def _lz4_legacy(data: memoryview) -> bytes:
    return b"".join(_lz4_blocks(data[4:]))


def _lz4_blocks(data: memoryview) -> Iterator[bytes]:
    """Blocks with their sizes before them, until what is left is the kernel's own trailer: the unpacked size."""
    while len(data) > 4:
        (size,) = struct.unpack_from("<I", data)
        yield lz4.block.decompress(data[4 : 4 + size], uncompressed_size=_LZ4_BLOCK)
        data = data[4 + size :]


#: What scripts/Makefile.lib of the kernel can make of a payload, by its first bytes.
_DECOMPRESSORS: Final[tuple[tuple[bytes, Callable[[memoryview], bytes]], ...]] = (
    (b"\x1f\x8b", _gzip),
    (b"\xfd7zXZ\0", _xz),
    (b"\x28\xb5\x2f\xfd", _zstd),
    (b"\x02\x21\x4c\x18", _lz4_legacy),
    (b"BZh", _bzip2),
    (b"\x5d\0\0", _lzma_alone),
    (b"\x7fELF", bytes),
)


def vmlinux(image: Image) -> bytes:
    """The ELF file inside ``image``, some 80 MB. Raises SpecError when it cannot be unpacked."""
    head = bytes(image.payload[:8])
    for magic, unpack in _DECOMPRESSORS:
        if head.startswith(magic):
            try:
                return unpack(image.payload)
            except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, RuntimeError, zstandard.ZstdError) as e:
                raise SpecError(f"{image.path} is a damaged kernel image: its payload does not unpack ({e})") from e
    raise SpecError(
        f"{image.path} has a payload in a compression that is not known here ({head[:4].hex(' ')})",
        remedy="build it with CONFIG_KERNEL_GZIP, XZ, ZSTD, LZ4, BZIP2 or LZMA",
    )


def section(elf: bytes, name: str) -> bytes | None:
    """The content of an ELF file's section; None when it has none of that name, or is no ELF file."""
    try:
        found = ELFFile(io.BytesIO(elf)).get_section_by_name(name)
    except ELFError:
        return None
    return bytes(found.data()) if found is not None else None
