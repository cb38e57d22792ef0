# SPDX-License-Identifier: GPL-2.0-only
"""The kernel that runs is the one that was asked for, down to its build ID."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from kfunctest import contract
from kfunctest.errors import SpecError
from kfunctest.guest import build_id
from kfunctest.kernels import facts, spec
from kfunctest.machine import vm
from tests import fakekernel

ID, OTHER = bytes(range(20)), bytes(range(1, 21))


def note(name: bytes, kind: int, content: bytes) -> bytes:
    """An ELF note, each part padded to four bytes."""
    padded = [part + bytes(-len(part) % 4) for part in (name, content)]
    return struct.pack("<III", len(name), len(content), kind) + b"".join(padded)


def notes(digest: bytes) -> bytes:
    return note(b"Linux\0", 0x100, b"7.9.1") + note(b"GNU\0", 3, digest) + note(b"Xen\0", 6, b"linux")


def image(path: Path, *, digest: bytes | None) -> Path:
    """An image with this build ID."""
    sections = {".BTF": fakekernel.btf(fakekernel.ENUMS, [*sorted(contract.ALL), "mem_cgroup_css_alloc"])}
    sections[".rodata"] = b"IKCFG_ST" + fakekernel.gzip(fakekernel.CONFIG.encode()) + b"IKCFG_ED"
    if digest is not None:
        sections[".notes"] = notes(digest)
    path.write_bytes(fakekernel.bzimage(fakekernel.gzip(fakekernel.elf(sections))))
    return path


def test_the_build_id_is_found_among_other_notes() -> None:
    assert build_id.find(notes(ID)) == ID.hex()


@pytest.mark.parametrize("content", [b"", b"\1", note(b"Linux\0", 3, ID), note(b"GNU\0", 1, ID), notes(ID)[:30]])
def test_notes_without_a_build_id(content: bytes) -> None:
    assert build_id.find(content) == ""


@pytest.mark.usefixtures("cache_here")
def test_it_is_read_from_the_image(tmp_path: Path) -> None:
    assert facts.read(image(tmp_path / "a", digest=ID)).facts.build_id == ID.hex()
    assert facts.read(image(tmp_path / "b", digest=None)).facts.build_id == ""


def running(kernel: facts.Reading, digest: bytes) -> vm.Vm:
    """A VM in which a kernel of this release and this build ID runs."""
    return cast(
        "vm.Vm",
        SimpleNamespace(release=kernel.release, btf_size=kernel.facts.btf_size, build_id=digest.hex()),
    )


@pytest.mark.usefixtures("cache_here")
def test_a_kernel_that_was_built_again_meanwhile_is_not_tested_in_its_place(tmp_path: Path) -> None:
    path = image(tmp_path / "vmlinuz", digest=ID)
    kernel = spec.resolve(str(path))
    vm.check_identity(kernel, running(facts.read(path), ID))
    with pytest.raises(SpecError, match=r"build ID 000102030405\) when it was read, and .* 010203040506\) runs"):
        vm.check_identity(kernel, running(facts.read(path), OTHER))


@pytest.mark.usefixtures("cache_here")
def test_a_kernel_without_a_build_id_is_known_by_its_release_its_btf_and_its_file(tmp_path: Path) -> None:
    path = image(tmp_path / "vmlinuz", digest=None)
    kernel = spec.resolve(str(path))
    vm.check_identity(kernel, running(facts.read(path), OTHER))
    with pytest.raises(SpecError, match=r"7\.9\.2 .* when it was read"):
        vm.check_identity(replace(kernel, release="7.9.2"), running(facts.read(path), OTHER))
    path.write_bytes(path.read_bytes() + b"another one")
    with pytest.raises(SpecError, match="was changed since this run began; run it again"):
        vm.check_identity(kernel, running(facts.read(path), OTHER))
