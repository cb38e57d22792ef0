# SPDX-License-Identifier: GPL-2.0-only
"""Where people and distributions put a kernel's image, modules and configuration, and the links before them."""

from __future__ import annotations

import importlib
import lzma
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kfunctest.errors import SpecError
from kfunctest.guest import survey
from kfunctest.kernels.model import Kernel
from kfunctest.kernels.spec import check, resolve
from kfunctest.machine import vm
from kfunctest.plugin import header
from tests import fakekernel
from tests.fakekernel import CONFIG, RELEASE

pytestmark = pytest.mark.usefixtures("cache_here")

MODULAR = CONFIG.replace("9P_FS=y", "9P_FS=m").replace("9P_VIRTIO=y", "9P_VIRTIO=m")
MODULES = {name: fakekernel.module() for name in ("fs/9p/9p", "net/9p/9pnet_virtio")}
OTHER = "7.9.2+test-amd64"


def install(folder: Path, release: str = RELEASE) -> Path:
    """Modules in ``folder`` that were built for ``release``."""
    fakekernel.modules_folder(folder, dict.fromkeys(MODULES, fakekernel.module(release=release)))
    (folder / "modules.dep").touch()
    return folder


def put(path: Path, content: bytes | str) -> Path:
    """A file, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def link(path: Path, target: str | Path) -> Path:
    """A link, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A system with a merged /usr, and its image in /boot; what leads there from elsewhere is in ``links``."""
    root = tmp_path / "root"
    install(root / "usr" / "lib" / "modules" / RELEASE)
    link(root / "lib", "usr/lib")
    put(root / "boot" / f"vmlinuz-{RELEASE}", fakekernel.image())
    put(root / "boot" / f"config-{RELEASE}", MODULAR)
    link(root / "boot" / "vmlinuz", f"vmlinuz-{RELEASE}")
    link(root / "vmlinuz", f"boot/vmlinuz-{RELEASE}")
    link(tmp_path / "links" / "kernel", root / "vmlinuz")
    link(tmp_path / "links" / "modules", root / "lib" / "modules" / RELEASE)
    return root


def as_virtme_ng_finds_them(kernel: Kernel) -> Path | None:
    """The modules that virtme-ng takes for the image that it gets, by its own code."""
    run: Any = importlib.import_module("virtme.commands.run")
    folder = Path(run.get_rootfs_from_kernel_path(str(kernel.image)), "lib", "modules", kernel.release)
    return folder.resolve() if folder.is_dir() else None


def found(spec: Path) -> Kernel:
    """The kernel, of which virtme-ng finds the same modules as we do."""
    check(str(spec))
    kernel = resolve(str(spec))
    assert as_virtme_ng_finds_them(kernel) == kernel.modules
    return kernel


@pytest.mark.parametrize(
    "way",
    [
        f"root/lib/modules/{RELEASE}",
        f"root/usr/lib/modules/{RELEASE}",
        f"root/boot/vmlinuz-{RELEASE}",
        "root/boot/vmlinuz",
        "root/vmlinuz",
        "links/kernel",
        "links/modules",
    ],
)
def test_every_way_leads_to_the_same_kernel(root: Path, way: str) -> None:
    kernel = found(root.parent / way)
    assert kernel.image == root / "boot" / f"vmlinuz-{RELEASE}"
    assert kernel.modules == root / "usr" / "lib" / "modules" / RELEASE
    assert kernel.option("CONFIG_9P_FS") == "m"
    assert str(root.parent / way) in kernel.origin
    assert f"image: {kernel.image}" in list(header.of_kernel(kernel, None, None))


def test_what_is_next_to_a_module_is_none(root: Path) -> None:
    drivers = root / "usr" / "lib" / "modules" / RELEASE / "kernel"
    shutil.rmtree(drivers)
    put(root / "boot" / f"config-{RELEASE}", CONFIG)
    put(drivers / "x.ko.debug", "")
    put(drivers / "x.ko.sig", "")
    link(drivers / "y.ko", "gone")
    assert found(root / "boot" / "vmlinuz").modules == root / "usr" / "lib" / "modules" / RELEASE


def test_a_system_without_lib(tmp_path: Path) -> None:
    """As an image of Fedora has it before it is merged: all in usr/lib/modules."""
    folder = install(tmp_path / "usr" / "lib" / "modules" / RELEASE)
    put(folder / "vmlinuz", fakekernel.image())
    for spec in (folder, folder / "vmlinuz"):
        assert found(spec).config is None
    put(folder / "config", MODULAR)
    for spec in (folder, folder / "vmlinuz"):
        assert (found(spec).modules, found(spec).option("CONFIG_9P_FS")) == (folder, "m")


def test_what_lies_beside_a_link_counts(root: Path, tmp_path: Path) -> None:
    """The image itself is in a store of contents, as git-annex and package managers have it."""
    image = root / "boot" / f"vmlinuz-{RELEASE}"
    image.rename(put(tmp_path / "store" / "f00", ""))
    image.symlink_to("../../store/f00")
    kernel = found(image)
    assert kernel.modules == root / "usr" / "lib" / "modules" / RELEASE
    assert kernel.option("CONFIG_9P_FS") == "m"
    assert kernel.image.resolve() == tmp_path / "store" / "f00"
    assert f"image: {kernel.image} -> {tmp_path / 'store' / 'f00'}" in list(header.of_kernel(kernel, None, None))


def test_an_image_in_a_folder_of_modules_that_is_no_system(tmp_path: Path) -> None:
    folder = install(tmp_path / "copied" / RELEASE)
    put(folder / "vmlinuz", fakekernel.image(config=MODULAR))
    for spec in (folder, folder / "vmlinuz"):
        assert found(spec).modules == folder


@pytest.mark.parametrize("config", [MODULAR, None])
def test_modules_that_are_not_found_are_named(root: Path, config: str | None) -> None:
    """With the places, before anything boots, whether the configuration is known or not."""
    (root / "usr/lib/modules" / RELEASE).rename(root / "usr/lib/modules" / OTHER)
    functions = [*fakekernel.DRIVERS[2:], "bpf_mem_cgroup_usage", "mem_cgroup_css_alloc"]
    put(root / "boot" / f"vmlinuz-{RELEASE}", fakekernel.image(functions=functions))
    if config is None:
        (root / "boot" / f"config-{RELEASE}").unlink()
    with pytest.raises(SpecError) as raised:
        resolve(str(root / "vmlinuz"))
    assert "with the modules 9p, 9pnet_virtio, and none were found: there is no" in raised.value.problem
    assert str(root / "lib" / "modules" / RELEASE) in raised.value.problem
    assert "CONFIG_9P_FS=y and CONFIG_NET_9P_VIRTIO=y" in raised.value.remedy


def test_what_modules_builtin_lists_need_not_be_found(root: Path) -> None:
    functions = [*fakekernel.DRIVERS[1:], "bpf_mem_cgroup_usage", "mem_cgroup_css_alloc"]
    put(root / "boot" / f"vmlinuz-{RELEASE}", fakekernel.image(functions=functions))
    (root / "boot" / f"config-{RELEASE}").unlink()
    folder = root / "usr" / "lib" / "modules" / RELEASE
    (folder / "kernel" / "fs" / "9p" / "9p.ko.xz").unlink()
    with pytest.raises(SpecError, match=re.escape(f"modules 9p, and none were found: {folder} has none of that n")):
        resolve(str(root / "vmlinuz"))
    (folder / "modules.builtin").write_text("kernel/fs/9p/9p.ko\n")
    assert found(root / "vmlinuz").modules == folder


def test_modules_of_another_release_are_never_used(root: Path) -> None:
    """Though they are where this one's would be, and virtme-ng would take them."""
    folder = root / "usr" / "lib" / "modules" / RELEASE
    install(folder, OTHER)
    with pytest.raises(SpecError, match=re.escape(f"_virtio, and none were found: those in {folder} are of {OTHER}; ")):
        resolve(str(folder))
    put(root / "boot" / f"config-{RELEASE}", CONFIG)
    kernel = found(folder)
    assert kernel.modules is None
    assert kernel.image.resolve() == root / "boot" / f"vmlinuz-{RELEASE}"


def test_modules_beside_the_kernels_own_say_nothing_of_it(root: Path) -> None:
    """Those of another release with the same interface, as Red Hat's weak-updates."""
    folder = root / "usr" / "lib" / "modules" / RELEASE
    put(folder / "extra" / "other.ko.xz", lzma.compress(fakekernel.module(release=OTHER)))
    assert found(folder).modules == folder


@pytest.mark.parametrize("image", ["boot/vmlinuz-{}", "lib/modules/{}/vmlinuz"])
def test_an_image_of_another_release_than_its_folder_says(root: Path, image: str) -> None:
    path = put(root / image.format(RELEASE), fakekernel.image(OTHER))
    with pytest.raises(SpecError, match=re.escape(f"{path.resolve()} is {OTHER}, and not {RELEASE}, which was asked")):
        resolve(str(root / "lib" / "modules" / RELEASE))
    put(path.parent / "config", CONFIG)
    put(path.parent / f"config-{RELEASE}", CONFIG)
    assert resolve(str(path)).release == OTHER


def build_tree(folder: Path, release: str = RELEASE) -> Path:
    """A tree in which make has built."""
    put(folder / ".config", CONFIG)
    put(folder / "init" / "main.c", "")
    put(folder / "include" / "config" / "kernel.release", f"{release}\n")
    put(folder / "arch" / "x86" / "boot" / "bzImage", fakekernel.image(release))
    return folder


def test_the_link_to_the_tree_that_it_was_built_in(root: Path, tmp_path: Path) -> None:
    tree = build_tree(tmp_path / "linux")
    asked = link(root / "usr" / "lib" / "modules" / RELEASE / "build", tree)
    kernel = resolve(str(root / "lib" / "modules" / RELEASE / "build"))
    assert kernel.image == tree / "arch" / "x86" / "boot" / "bzImage"
    assert kernel.option("CONFIG_9P_FS") == "y"
    build_tree(tree, OTHER)
    with pytest.raises(
        SpecError, match=rf"is 7\.9\.2\S+, and not 7\.9\.1\S+, which was asked for \(build tree {re.escape(str(asked))}"
    ):
        resolve(str(asked))
    assert resolve(str(tree)).release == OTHER


def test_the_link_to_what_modules_are_built_against(root: Path, tmp_path: Path) -> None:
    """Headers are no kernel: it is the installed one that they belong to."""
    headers = tmp_path / "usr" / "src" / f"linux-headers-{RELEASE}"
    put(headers / ".config", CONFIG)
    put(headers / "Makefile", "include /usr/src/linux-headers-common/Makefile\n")
    put(headers / "include" / "config" / "kernel.release", f"{RELEASE}\n")
    asked = link(root / "usr" / "lib" / "modules" / RELEASE / "build", headers)
    assert found(asked).image == root / "boot" / f"vmlinuz-{RELEASE}"
    with pytest.raises(SpecError, match=rf"{re.escape(headers.name)} is what modules .* pass /lib/modules/7\.9"):
        resolve(str(headers))
    # Their configuration is taken where there is no other; not if they are another kernel's by now.
    (root / "boot" / f"config-{RELEASE}").unlink()
    assert found(root / "vmlinuz").config is not None
    put(headers / "include" / "config" / "kernel.release", f"{OTHER}\n")
    assert found(root / "vmlinuz").config is None


def test_an_image_that_make_has_left_behind(tmp_path: Path) -> None:
    """The tree was configured or built for another release since, and the image in it was not made anew."""
    tree = build_tree(tmp_path / "linux")
    put(tree / "include" / "config" / "kernel.release", f"{OTHER}\n")
    for spec in (tree, tree / "arch" / "x86" / "boot" / "bzImage"):
        with pytest.raises(
            SpecError, match=rf"is 7\.9\.1\S+, and make has run there for 7\.9\.2\S+ since; make -C {tree} "
        ):
            resolve(str(spec))


def test_the_configuration_in_the_image_goes_before_a_file(root: Path) -> None:
    put(root / "boot" / f"vmlinuz-{RELEASE}", fakekernel.image(config=f"{MODULAR}CONFIG_HZ=100\n"))
    put(root / "boot" / f"config-{RELEASE}", f"{MODULAR}CONFIG_HZ=250\n")
    assert found(root / "vmlinuz").option("CONFIG_HZ") == "100"


def test_the_kernel_before_the_last_has_its_own_configuration(root: Path) -> None:
    """As installkernel(8) renames them: the image and its configuration, whose release may be the same."""
    old = put(root / "boot" / f"vmlinuz-{RELEASE}.old", fakekernel.image())
    put(root / "boot" / f"config-{RELEASE}.old", f"{MODULAR}CONFIG_HZ=100\n")
    assert found(old).option("CONFIG_HZ") == "100"


def test_a_link_that_leads_elsewhere_meanwhile(root: Path) -> None:
    """It is followed once."""
    kernel = found(root / "vmlinuz")
    (root / "vmlinuz").unlink()
    link(root / "vmlinuz", put(root / "boot" / f"vmlinuz-{OTHER}", fakekernel.image(OTHER)))
    assert vm.command(kernel.image, SimpleNamespace(vng_flags=()), vm.Shape())[2].endswith(RELEASE)  # type: ignore[arg-type]


def test_an_image_that_is_another_by_the_time_it_boots(root: Path) -> None:
    """Its release and the size of its BTF may be the same."""
    kernel = found(root / "vmlinuz")
    booted: Any = SimpleNamespace(release=kernel.release, btf_size=kernel.facts.btf_size, build_id="")
    vm.check_identity(kernel, booted)
    put(kernel.image, kernel.image.read_bytes() + b"\0")
    with pytest.raises(SpecError, match=re.escape(f"{kernel.image} was changed since this run began; run it")):
        vm.check_identity(kernel, booted)
    vm.check_identity(replace(kernel, image_digest=resolve(str(kernel.image)).image_digest), booted)


def test_a_link_that_leads_nowhere(root: Path) -> None:
    (root / "boot" / f"vmlinuz-{RELEASE}").unlink()
    with pytest.raises(SpecError, match=r"/vmlinuz \(a link to boot/vmlinuz-7\.9\S+\) does not exist"):
        resolve(str(root / "vmlinuz"))


@pytest.mark.parametrize("made, expected", [(f"{RELEASE}\n", CONFIG), ("", CONFIG), (f"{OTHER}\n", None)])
def test_the_configuration_of_a_running_kernel_is_of_no_other(
    made: str, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tree that it was built in may have been configured for another since."""
    build = f"/lib/modules/{RELEASE}/build"
    files = {f"{build}/.config": CONFIG, f"{build}/include/config/kernel.release": made}
    monkeypatch.setattr(survey, "_read", lambda path: files.get(path, ""))
    monkeypatch.setattr(os.path, "exists", lambda _path: False)
    assert survey.config(RELEASE) == expected
