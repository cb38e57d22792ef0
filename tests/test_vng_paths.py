# SPDX-License-Identifier: GPL-2.0-only
"""Paths that virtme-ng, QEMU or a guest cannot take: worked around where it can be done, else reported in one line."""

from __future__ import annotations

import json
import os
import shlex
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from kfunctest import cache, proc
from kfunctest.errors import InfraError
from kfunctest.machine import bundle, host_checks, supervisor, vm, vng_paths
from kfunctest.machine.accelerator import Accelerator
from tests.fakekernel import NO_IMAGE

ODD = 'a b,c=d:%s it\'s "q" \\x $HOME `id` \xe9 ;&(*'
KVM = Accelerator("kvm", "", 1)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """TMPDIR with an odd name."""
    odd = tmp_path / ODD
    odd.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(odd))
    monkeypatch.setenv("KFUNCTEST_CACHE", str(tmp_path / "cache"))
    return odd


def test_a_plain_temporary_directory_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert vng_paths.temporary_directories() == [tmp_path]


@pytest.mark.parametrize("name", [",", " ", "'", '"', ":", "%", "=", "\\", "\xe9", "\udcff", "\n", "x" * 97])
def test_a_run_directory_never_has_an_odd_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / f"a{name}b"))
    with supervisor.rundir() as made:
        assert vng_paths.is_plain(made), f"expected a name that QEMU's options take, seen {made}"
    assert not made.exists()


@pytest.mark.parametrize("hidden", ["/dev/shm", "/var/tmp", "/run/user/0"])
def test_a_run_directory_is_where_a_guest_sees_it(hidden: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", hidden)
    assert Path(hidden) not in vng_paths.temporary_directories()


def test_the_cache_serves_where_tmp_does_not(temporary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = tempfile.mkdtemp

    def full(prefix: str, dir: Path) -> str:  # noqa: A002 (mkdtemp's own word)
        if dir == Path("/tmp"):
            raise OSError(28, "No space left on device")
        return real(prefix=prefix, dir=dir)

    monkeypatch.setattr(tempfile, "mkdtemp", full)
    with supervisor.rundir() as made:
        assert made.parent == cache.root() / "vms"
    assert list(temporary.iterdir()) == []


def test_virtme_ng_gets_the_image_as_one_word() -> None:
    """It makes a shell command of its arguments, and puts them into it as they are."""
    argv = vm.command(Path("/x", ODD, "bzImage"), KVM, vm.Shape())
    given = argv[argv.index("--run") + 1]
    said = proc.run(["sh", "-c", f"printf '%s\\n' --kimg {given}"], seconds=10).stdout
    assert said == f"--kimg\n/x/{ODD}/bzImage\n"


def test_virtme_ng_gets_path_as_one_argument_of_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes what is appended apart as a shell would."""
    monkeypatch.setattr(bundle, "SHORT_CUTS", Path("/my kernels, it's/boot"))
    assert shlex.split(bundle.boot_path()) == ["PATH=/my kernels, it's/boot:/bin:/sbin:/usr/bin:/usr/sbin"]


def test_an_image_without_modules_is_booted_from_where_it_is(tmp_path: Path) -> None:
    kernel = replace(NO_IMAGE, image=tmp_path / ODD / "bzImage")
    assert vng_paths.bootable(kernel, tmp_path) == kernel.image


def test_modules_with_a_plain_path_are_used_where_they_are(tmp_path: Path) -> None:
    kernel = replace(NO_IMAGE, image=Path("/lib/modules/7.9.1/vmlinuz"), modules=Path("/lib/modules/7.9.1"))
    assert vng_paths.bootable(kernel, tmp_path) == kernel.image


def made(*files: Path) -> None:
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


def test_a_build_tree_with_modules_is_reached_through_a_link(tmp_path: Path) -> None:
    """virtme-ng knows a build tree by its layout, and gives the guest the path of what it made of the modules."""
    tree = tmp_path / ODD / "modules" / "linux"
    image = tree / "arch" / "x86" / "boot" / "bzImage"
    made(image, tree / ".config")
    seen = vng_paths.bootable(replace(NO_IMAGE, image=image, modules=tree), tmp_path)
    assert seen == tmp_path / "kernel/arch/x86/boot/bzImage"
    assert seen.samefile(image)
    assert (tmp_path / "kernel" / ".config").exists()


@pytest.mark.parametrize("image", ["lib/modules/7.9.1/vmlinuz", "boot/vmlinuz-7.9.1"])
def test_an_installed_kernel_is_reached_with_its_modules_through_a_link(image: str, tmp_path: Path) -> None:
    """virtme-ng looks for lib/modules in each directory above the image."""
    root = tmp_path / ODD
    modules = root / "lib/modules/7.9.1"
    made(root / image, modules / "modules.dep")
    seen = vng_paths.bootable(replace(NO_IMAGE, image=root / image, modules=modules), tmp_path)
    assert seen == tmp_path / "kernel" / image
    assert seen.samefile(root / image)
    assert (tmp_path / "kernel/lib/modules/7.9.1/modules.dep").exists()


@pytest.mark.parametrize("character", ['"', ":", "$", "`", "\\", "\n"])
def test_a_checkout_that_virtme_ng_cannot_start_from(character: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vng_paths, "CHECKOUT", Path(f"/home/me/a{character}b"))
    with pytest.raises(InfraError, match=r"this checkout is at .*; move it") as caught:
        host_checks.check()
    assert repr(character)[1:-1] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_interpreter_that_virtme_ng_cannot_start_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", "/home/me/$venv")
    with pytest.raises(InfraError, match="virtual environment is at"):
        host_checks.check()


def test_an_interpreter_whose_scripts_were_made_where_they_do_not_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a$b").mkdir()
    (tmp_path / "venv").symlink_to("a$b")
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
    with pytest.raises(InfraError, match=r"virtual environment is at '.*/a\$b'"):
        host_checks.check()


def test_a_checkout_whose_path_does_not_fit_a_kernels_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vng_paths, "CHECKOUT", Path("/" + "x" * 400))
    with pytest.raises(InfraError, match="the path of this checkout has 401 bytes"):
        host_checks.check()


@pytest.mark.parametrize("name", ["my kernels", "it's", "a,b", "a=b", "100%", "\xe9t\xe9", "x" * 200])
def test_a_checkout_and_a_cache_with_unusual_names_are_taken(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vng_paths, "CHECKOUT", Path("/home/me", name))
    monkeypatch.setenv("KFUNCTEST_CACHE", str(tmp_path / name))
    vng_paths.check_installation()


def test_a_cache_whose_name_a_guest_cannot_be_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("\udcff", "a\nb"):
        monkeypatch.setenv("KFUNCTEST_CACHE", str(tmp_path / name))
        with pytest.raises(InfraError, match=r"the cache is at .* one line of UTF-8"):
            vng_paths.check_installation()


@pytest.mark.parametrize("folder", ["/dev/shm", "/run/user/0", "/var/tmp"])
def test_modules_that_a_guest_does_not_see(folder: str) -> None:
    kernel = replace(NO_IMAGE, modules=Path(folder, "lib/modules/7.9.1"))
    with pytest.raises(InfraError, match=r"modules directory is at .*a guest sees nothing below"):
        vng_paths.check_files(kernel)
    vng_paths.check_files(replace(kernel, modules=None))


@pytest.mark.parametrize("folder", ["/dev/shm", "/run/user/0", "/var/tmp"])
def test_an_image_that_a_guest_does_not_see(folder: str) -> None:
    """QEMU would boot it; tests of files map it, and would blame the kernel."""
    with pytest.raises(InfraError, match=r"the kernel's image is at .*a guest sees nothing below"):
        vng_paths.check_files(replace(NO_IMAGE, image=Path(folder, "vmlinuz"), modules=None))


def test_a_link_into_a_hidden_place_is_seen_through(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/dev/shm")
    with pytest.raises(InfraError, match="a guest sees nothing below /dev"):
        vng_paths.must_be_visible("the cache", tmp_path / "link" / "cache")


def test_no_setting_of_the_user_or_the_machine_reaches_virtme_ng(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its settings could name another kernel, and its environment another build directory."""
    for name in ("PYTHONPATH", "KBUILD_OUTPUT", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, "/elsewhere")
    monkeypatch.setenv("LC_ALL", "C")
    with supervisor.rundir() as folder:
        supervisor.give(folder, ["vng"], tmp_path / "console", "true\n")
        env = json.loads((folder / "launch.json").read_text())["env"]
        settings = (folder / ".config/virtme-ng/virtme-ng.conf").read_text()
    assert [env[name] for name in ("PYTHONPATH", "KBUILD_OUTPUT", "XDG_CONFIG_HOME")] == [None] * 3
    assert "LC_ALL" not in env
    assert (env["HOME"], env["TMPDIR"]) == (str(folder), str(folder))
    assert json.loads(settings) == {}, "expected settings of our own, which go before those in /etc"


def test_the_working_directory_is_not_given_to_virtme_ng(tmp_path: Path) -> None:
    """It becomes the guest's, by way of the kernel's command line, which takes no quotation mark."""
    odd = tmp_path / 'a "b"'
    odd.mkdir()
    folder = tmp_path / "run"
    folder.mkdir()
    order = {"argv": ["sh", "-c", "pwd >&2"], "env": {}, "console": str(tmp_path / "console"), "parent": os.getpid()}
    (folder / "launch.json").write_text(json.dumps(order))
    program = Path(supervisor.__file__).with_name("vm_supervisor.py")
    proc.run([sys.executable, "-I", program, folder], seconds=20, cwd=odd)
    assert (tmp_path / "console").read_text() == "/\n"
