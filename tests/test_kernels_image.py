# SPDX-License-Identifier: GPL-2.0-only
"""Kernel images are read, and refused, without booting them."""

from __future__ import annotations

import bz2
import lzma
import struct
from collections.abc import Callable
from pathlib import Path

import lz4.block
import pytest
import zstandard

from kfunctest import contract
from kfunctest.errors import EXIT_USAGE, SpecError
from kfunctest.kernels import config, facts, image
from kfunctest.kernels.spec import resolve
from tests import fakekernel

pytestmark = pytest.mark.usefixtures("cache_here")


def write(path: Path, data: bytes) -> Path:
    """``data`` in a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def refused(path: Path) -> str:
    """The one line with which ``path`` is refused."""
    with pytest.raises(SpecError) as caught:
        resolve(str(path))
    assert caught.value.exit_status == EXIT_USAGE
    assert "\n" not in str(caught.value)
    return str(caught.value)


def _lz4_legacy(data: bytes) -> bytes:
    half = len(data) // 2
    packed = [lz4.block.compress(part, store_size=False) for part in (data[:half], data[half:])]
    return b"\x02\x21\x4c\x18" + b"".join(struct.pack("<I", len(part)) + part for part in packed)


@pytest.mark.parametrize(
    "pack",
    [
        fakekernel.gzip,
        lambda data: lzma.compress(data, lzma.FORMAT_XZ, check=lzma.CHECK_CRC32),
        lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
        bz2.compress,
        zstandard.compress,
        _lz4_legacy,
        bytes,
    ],
    ids=["gzip", "xz", "lzma", "bzip2", "zstd", "lz4", "none"],
)
def test_every_compression_of_a_kernel_is_read(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    elf = fakekernel.vmlinux()
    # The kernel's build puts the unpacked size behind the payload: scripts/Makefile.lib, size_append.
    data = fakekernel.bzimage(pack(elf) + struct.pack("<I", len(elf)))
    reading = facts.read(write(tmp_path / "bzImage", data))
    assert reading.release == fakekernel.RELEASE
    assert reading.facts.kfuncs == contract.ALL
    assert reading.facts.memcg
    assert reading.facts.enum("memcg_stat_item") == fakekernel.ENUMS["memcg_stat_item"]


def test_an_unknown_kfunc_of_the_family_is_seen_and_others_are_not(tmp_path: Path) -> None:
    data = fakekernel.image(functions=["bpf_mem_cgroup_new", "bpf_cgroup_from_id", "mem_cgroup_css_alloc"])
    seen = facts.read(write(tmp_path / "bzImage", data)).facts
    assert not seen.kfuncs
    assert seen.unknown_kfuncs == {"bpf_mem_cgroup_new"}
    assert seen.bpf_functions == {"bpf_mem_cgroup_new", "bpf_cgroup_from_id"}


def test_the_second_reading_does_not_unpack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "bzImage", fakekernel.image())
    first = facts.read(path)
    monkeypatch.setattr(image, "vmlinux", lambda _image: pytest.fail("unpacked a second time"))
    assert facts.read(path) == first
    copy = write(tmp_path / "copy", path.read_bytes())
    assert facts.read(copy) == first


def test_another_content_is_read_anew(tmp_path: Path) -> None:
    path = write(tmp_path / "bzImage", fakekernel.image())
    first = facts.read(path)
    path.write_bytes(fakekernel.image(functions=["mem_cgroup_css_alloc"]))
    second = facts.read(path)
    assert first.digest != second.digest
    assert not second.facts.kfuncs


@pytest.mark.parametrize(
    "data, says",
    [
        (b"hello\n", "is no kernel image"),
        (b"", "is no kernel image"),
        (bytes(56) + b"ARM\x64" + bytes(1000), "arm64 kernel.*x86-64 with 4 KiB pages only"),
        (bytes(48) + b"RISCV\0\0\0" + bytes(1000), "RISC-V kernel.*x86-64"),
        (fakekernel.elf({}), "pass arch/x86/boot/bzImage"),
        (fakekernel.elf({}, machine=183), r"another architecture \(e_machine 183\)"),
        (fakekernel.gzip(b"x" * 1000), "gzip file"),
        (fakekernel.bzimage(b"x", xloadflags=0), "32-bit x86 kernel"),
        (fakekernel.image()[:-100], "damaged.*cut short"),
        (fakekernel.bzimage(fakekernel.gzip(fakekernel.vmlinux())[:-100]), "does not unpack .it is cut short"),
        (fakekernel.bzimage(b"\x1f\x8b" + b"garbage" * 20), "damaged kernel image: its payload does not unpack"),
        (fakekernel.bzimage(b"\x89LZO" + bytes(100)), "compression that is not known here"),
        (fakekernel.image(with_btf=False), "has no BTF.*CONFIG_DEBUG_INFO_BTF=y"),
        (fakekernel.image(functions=["schedule"]), "without CONFIG_MEMCG"),
    ],
    ids=[
        *("text", "empty", "arm64", "riscv", "vmlinux", "arm64-vmlinux", "gzip", "32-bit", "cut", "cut-payload"),
        *("damaged", "lzo", "no-btf", "no-memcg"),
    ],
)
def test_what_is_no_kernel_for_us_is_refused_in_one_line(data: bytes, says: str, tmp_path: Path) -> None:
    path = write(tmp_path / "image", data)
    with pytest.raises(SpecError, match=says):
        resolve(str(path))
    assert str(path) in refused(path) or "CONFIG_MEMCG" in refused(path)


def test_nothing_is_left_in_the_cache_by_a_refused_image(tmp_path: Path, cache_here: Path) -> None:
    refused(write(tmp_path / "image", fakekernel.image(with_btf=False)))
    assert list((cache_here / "facts").iterdir()) == []


@pytest.mark.parametrize("option", [name for name, _why in config.REQUIRED])
def test_a_missing_option_is_named(option: str, tmp_path: Path) -> None:
    text = fakekernel.CONFIG.replace(f"{option}=y", f"# {option} is not set")
    assert f"without {option}:" in refused(write(tmp_path / "image", fakekernel.image(config=text)))


BOOTED_BY = "".join(f"{option}=y\n" for option, _, _ in config.BOOTED_BY)


@pytest.mark.parametrize(
    "lines, said",
    [
        (BOOTED_BY, ""),
        *(
            (BOOTED_BY.replace(f"{option}=y\n", ""), f"it lacks {option}; build it")
            for option, _, _ in config.BOOTED_BY
        ),
        (
            "CONFIG_VIRTIO_FS=y\nCONFIG_VIRTIO_PCI=y\n",
            "lacks CONFIG_9P_FS and CONFIG_NET_9P_VIRTIO and CONFIG_VIRTIO_C",
        ),
        *(
            (
                BOOTED_BY.replace(f"{option}=y", f"{option}=m"),
                f"with the modules {module}, and none were found: there is",
            )
            for option, module, _ in config.BOOTED_BY
        ),
    ],
)
def test_a_kernel_must_have_what_a_vm_boots_by(lines: str, said: str, tmp_path: Path) -> None:
    """Built in or in a modules folder; the host's files by 9p: VMs are told to use it."""
    text = fakekernel.CONFIG.replace(BOOTED_BY, lines)
    path = write(tmp_path / "image", fakekernel.image(config=text))
    if said:
        assert said in refused(path)
    else:
        assert resolve(str(path)).option("CONFIG_MEMCG") == "y"


@pytest.mark.parametrize("function, module", [(function, module) for _, module, function in config.BOOTED_BY])
def test_what_is_built_in_the_btf_of_an_unknown_configuration_says(function: str, module: str, tmp_path: Path) -> None:
    functions = [*contract.ALL, "mem_cgroup_css_alloc", *(name for name in fakekernel.DRIVERS if name != function)]
    said = refused(write(tmp_path / "image", fakekernel.image(functions=functions)))
    assert (
        f"with the modules {module}, and none were found: there is no /lib/modules/{fakekernel.RELEASE}; pass" in said
    )


def test_options_are_read_as_the_build_wrote_them() -> None:
    parsed = dict(
        config.parse('CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C="lzo \\"x\\""\nCONFIG_D=0x10\n#\nCONFIG_E=""\n')
    )
    assert parsed == {"CONFIG_A": "y", "CONFIG_C": 'lzo "x"', "CONFIG_D": "0x10", "CONFIG_E": ""}


def test_an_option_of_an_unknown_configuration_is_not_taken_for_unset(tmp_path: Path) -> None:
    kernel = resolve(str(write(tmp_path / "image", fakekernel.image())))
    assert kernel.config is None
    with pytest.raises(LookupError, match="not known"):
        kernel.option("CONFIG_MEMCG")
