# SPDX-License-Identifier: GPL-2.0-only
"""``--kernel PATH``: an image, a modules folder, a build tree; and modules cut down to what booting needs."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from kfunctest.errors import SpecError
from kfunctest.kernels import prune_modules
from kfunctest.kernels.spec import resolve
from tests import fakekernel
from tests.building import needs
from tests.fakekernel import CONFIG, RELEASE

pytestmark = pytest.mark.usefixtures("cache_here")

MODULAR = CONFIG.replace("9P_FS=y", "9P_FS=m").replace("9P_VIRTIO=y", "9P_VIRTIO=m")
MODULES = {
    "fs/9p/9p": fakekernel.module("9pnet,netfs"),
    "fs/netfs": fakekernel.module(),
    "net/9p/9pnet": fakekernel.module("netfs"),
    "net/9p/9pnet_virtio": fakekernel.module("9pnet"),
    "drivers/virtio/virtio-mmio": fakekernel.module(softdep="pre: crc-16 post: unwanted"),
    "lib/crc-16": fakekernel.module(),
    "drivers/gpu/huge": fakekernel.module(),
    "lib/unwanted": fakekernel.module(),
}


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A root file system with a kernel installed as Debian 12 does."""
    root = tmp_path / "root"
    folder = root / "lib" / "modules" / RELEASE
    fakekernel.modules_folder(folder, MODULES)
    (folder / "modules.dep").write_text("")
    (root / "boot").mkdir()
    (root / "boot" / f"vmlinuz-{RELEASE}").write_bytes(fakekernel.image())
    (root / "boot" / f"config-{RELEASE}").write_text(MODULAR)
    return root


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A kernel's build tree."""
    tree = tmp_path / "linux"
    boot = tree / "arch" / "x86" / "boot"
    boot.mkdir(parents=True)
    (tree / "Kconfig").write_text("")
    (tree / ".config").write_text(CONFIG)
    (boot / "bzImage").write_bytes(fakekernel.image())
    (tree / "arch" / "x86_64" / "boot").mkdir(parents=True)
    (tree / "arch" / "x86_64" / "boot" / "bzImage").symlink_to("../../x86/boot/bzImage")
    return tree


def test_a_modules_folder_finds_its_image_in_boot(installed: Path) -> None:
    kernel = resolve(str(installed / "lib" / "modules" / RELEASE))
    assert kernel.image == installed / "boot" / f"vmlinuz-{RELEASE}"
    assert kernel.modules == installed / "lib" / "modules" / RELEASE
    assert kernel.option("CONFIG_9P_FS") == "m"
    assert kernel.id == kernel.release == RELEASE
    assert kernel.resolved is None


def test_an_image_in_boot_finds_its_modules_and_configuration(installed: Path) -> None:
    kernel = resolve(str(installed / "boot" / f"vmlinuz-{RELEASE}"))
    assert kernel.modules == installed / "lib" / "modules" / RELEASE
    assert kernel.option("CONFIG_NET_9P_VIRTIO") == "m"


def test_a_modules_folder_that_holds_its_image(installed: Path) -> None:
    folder = installed / "lib" / "modules" / RELEASE
    (installed / "boot" / f"vmlinuz-{RELEASE}").rename(folder / "vmlinuz")
    (installed / "boot" / f"config-{RELEASE}").rename(folder / "config")
    kernel = resolve(str(folder))
    assert kernel.image == folder / "vmlinuz"
    by_file = resolve(str(folder / "vmlinuz"))
    assert by_file.origin != kernel.origin
    assert replace(by_file, spec=kernel.spec, origin=kernel.origin) == kernel


def test_modules_that_are_not_indexed_are_not_written_to(installed: Path) -> None:
    (installed / "lib" / "modules" / RELEASE / "modules.dep").unlink()
    with pytest.raises(SpecError, match=re.escape(f"depmod -b {installed} {RELEASE}")):
        resolve(str(installed / "boot" / f"vmlinuz-{RELEASE}"))


def test_modular_9p_without_the_module_is_refused(installed: Path) -> None:
    folder = installed / "lib" / "modules" / RELEASE
    (folder / "kernel" / "net" / "9p" / "9pnet_virtio.ko.xz").unlink()
    with pytest.raises(SpecError, match="CONFIG_NET_9P_VIRTIO"):
        resolve(str(folder))


@pytest.mark.parametrize("inside", [".", "arch/x86/boot/bzImage", "arch/x86_64/boot/bzImage"])
def test_a_build_tree_and_the_image_in_it_are_the_same_kernel(
    inside: str, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tree)
    kernel = resolve(inside)
    assert kernel.image.samefile(tree / "arch/x86/boot/bzImage")
    assert kernel.option("CONFIG_MEMCG") == "y"
    assert kernel.modules is None
    assert kernel.origin == f"build tree {tree}"
    (tree / "modules.order").write_text("")
    assert resolve(inside).modules == tree


def test_a_tree_that_is_not_built_says_how(tree: Path) -> None:
    (tree / "arch/x86/boot/bzImage").unlink()
    with pytest.raises(SpecError, match=f"make -C {tree} bzImage"):
        resolve(str(tree))


@pytest.mark.parametrize("spec", ["nothing", "v7.1", "running", "7.2"])
def test_an_unknown_word_lists_what_is_understood(spec: str) -> None:
    with pytest.raises(SpecError, match=rf"'{spec}'.*debian, debian:SERIES.*build tree"):
        resolve(spec)


def test_a_folder_that_is_no_kernel(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"has neither vmlinuz nor arch/x86/boot/bzImage"):
        resolve(str(tmp_path))
    with pytest.raises(SpecError, match=r"does not exist"):
        resolve(str(tmp_path / "gone"))


needs_depmod = needs("depmod")


@needs_depmod
def test_pruning_keeps_what_a_run_needs_and_what_that_depends_on(installed: Path, tmp_path: Path) -> None:
    folder = prune_modules.prune(installed / "lib" / "modules" / RELEASE, tmp_path / "pruned", RELEASE)
    kept = {path.relative_to(folder / "kernel").as_posix() for path in folder.rglob("*.ko*")}
    assert kept == {
        "fs/9p/9p.ko",
        "fs/netfs.ko",
        "net/9p/9pnet.ko",
        "net/9p/9pnet_virtio.ko",
        "drivers/virtio/virtio-mmio.ko",
        "lib/crc-16.ko",
    }
    assert (folder / "kernel/fs/9p/9p.ko").read_bytes() == MODULES["fs/9p/9p"]
    assert (folder / "modules.dep").exists()


@needs_depmod
def test_a_damaged_module_is_named(installed: Path, tmp_path: Path) -> None:
    source = installed / "lib" / "modules" / RELEASE
    (source / "kernel/fs/9p/9p.ko.xz").write_bytes(b"\xfd7zXZ\0damaged")
    with pytest.raises(SpecError, match=r"9p\.ko\.xz is damaged"):
        prune_modules.prune(source, tmp_path / "pruned", RELEASE)


def test_an_image_of_another_system_is_not_taken_for_modules(installed: Path) -> None:
    """Modules that were installed into a directory of their own, below a system with another build of the release."""
    folder = installed / "out" / "lib" / "modules" / RELEASE
    fakekernel.modules_folder(folder, MODULES)
    (folder / "modules.dep").touch()
    with pytest.raises(SpecError, match="has neither vmlinuz nor"):
        resolve(str(folder))


def test_headers_are_no_modules(tmp_path: Path) -> None:
    """A directory that a package of headers has made for its link."""
    (tmp_path / "vmlinuz").write_bytes(fakekernel.image())
    (tmp_path / "config").write_text(CONFIG)
    (tmp_path / "lib" / "modules" / RELEASE / "build").mkdir(parents=True)
    assert resolve(str(tmp_path / "vmlinuz")).modules is None
