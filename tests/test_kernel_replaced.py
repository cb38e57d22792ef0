# SPDX-License-Identifier: GPL-2.0-only
"""An image that is not the kernel of the vmlinux next to it, and damaged entries of the cache."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from kfunctest import cache, contract
from kfunctest.errors import InfraError, SpecError
from kfunctest.kernels import build, spec
from kfunctest.kernels.model import Provenance
from tests import fakekernel

pytestmark = pytest.mark.usefixtures("cache_here")
ID, OTHER = bytes(range(20)), bytes(range(1, 21))


def vmlinux(digest: bytes) -> bytes:
    sections = {".BTF": fakekernel.btf(fakekernel.ENUMS, [*sorted(contract.ALL), "mem_cgroup_css_alloc"])}
    note = b"\4\0\0\0\x14\0\0\0\3\0\0\0GNU\0" + digest
    return fakekernel.elf({**sections, ".notes": note})


def bzimage(digest: bytes) -> bytes:
    return fakekernel.bzimage(fakekernel.gzip(vmlinux(digest)))


def tree(folder: Path, *, linked: bytes) -> Path:
    """A build tree whose image has the build ID ID, and whose vmlinux has another."""
    image = folder / "arch" / "x86" / "boot" / "bzImage"
    image.parent.mkdir(parents=True)
    image.write_bytes(bzimage(ID))
    (folder / "vmlinux").write_bytes(vmlinux(linked))
    (folder / ".config").write_text(fakekernel.CONFIG)
    return folder


def entry(*, linked: bytes = ID) -> Path:
    """An entry of the cache's ``built/``."""
    folder = cache.root() / "built" / "0123"
    folder.mkdir(parents=True)
    (folder / "vmlinuz").write_bytes(bzimage(ID))
    (folder / "vmlinux").write_bytes(vmlinux(linked))
    (folder / "config").write_text(fakekernel.CONFIG)
    made = Provenance("linux 7.9", "0" * 40, (), (), "gcc", "ld", "pahole", "v2")
    (folder / "provenance.json").write_text(json.dumps(asdict(made)))
    return folder


def test_an_image_of_another_vmlinux_is_not_tested_for_its_tree(tmp_path: Path) -> None:
    """As where make was stopped after it had linked vmlinux, or was asked for vmlinux alone."""
    assert spec.resolve(str(tree(tmp_path / "made", linked=ID))).facts.build_id == ID.hex()
    half = tree(tmp_path / "half", linked=OTHER)
    for named in (half, half / "arch/x86/boot/bzImage"):
        with pytest.raises(SpecError, match=r"was not made of .*vmlinux: .*000102030405 and 010203040506; build the"):
            spec.resolve(str(named))


def test_a_vmlinux_that_is_no_elf_file_says_nothing(tmp_path: Path) -> None:
    made = tree(tmp_path / "made", linked=ID)
    (made / "vmlinux").write_bytes(b"cut")
    assert spec.resolve(str(made)).facts.build_id == ID.hex()


def test_an_entry_of_the_cache_is_what_it_was_built_as() -> None:
    assert spec.resolve(str(entry())).contract == "v2"


def test_an_entry_whose_image_was_replaced() -> None:
    with pytest.raises(SpecError, match=r"vmlinuz was not made of .*vmlinux"):
        spec.resolve(str(entry(linked=OTHER)))


@pytest.mark.parametrize("name", ["vmlinuz", "config"])
def test_an_entry_that_lacks_a_file(name: str) -> None:
    folder = entry()
    (folder / name).unlink()
    with pytest.raises(InfraError, match=f"is damaged: it has no {name}; rm -r .*0123, and build it again"):
        spec.resolve(str(folder))


@pytest.mark.parametrize("text", ["{", "{}", None])
def test_an_entry_without_its_provenance_is_not_tested_without_its_contract(text: str | None) -> None:
    folder = entry()
    (folder / "provenance.json").unlink()
    if text is not None:
        (folder / "provenance.json").write_text(text)
    for named in (folder, folder / "vmlinuz"):
        with pytest.raises(InfraError, match=r"its provenance\.json cannot be read"):
            spec.resolve(str(named))


def test_somebody_elses_provenance_is_no_entry(tmp_path: Path) -> None:
    (tmp_path / "vmlinuz").write_bytes(bzimage(ID))
    (tmp_path / "config").write_text(fakekernel.CONFIG)
    (tmp_path / "provenance.json").write_text('{"builder": "somebody"}')
    build.require_whole(tmp_path)
    assert spec.resolve(str(tmp_path / "vmlinuz")).provenance is None
