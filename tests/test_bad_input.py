# SPDX-License-Identifier: GPL-2.0-only
"""Bad input, seen as a user sees it: one line that names the remedy, the documented status, and nothing left behind."""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path

import pytest

from kfunctest import proc
from tests import fakekernel
from tests.pytest_result import Judge, assert_matches, written

CHECKOUT = Path(__file__).resolve().parents[1]
FAILED, INFRA, USAGE, NOTHING = 1, 3, 4, 5
#: Without 9p, though with virtiofs; or without the memory controller.
NO_SHARE = fakekernel.CONFIG.replace("CONFIG_NET_9P_VIRTIO=y\n", "CONFIG_VIRTIO_FS=y\n")
NO_MEMCG = fakekernel.CONFIG.replace("CONFIG_MEMCG=y\n", "")
THIRTY_TWO = fakekernel.bzimage(fakekernel.gzip(fakekernel.vmlinux()), xloadflags=0)
ARM64 = bytes(56) + b"ARM\x64" + bytes(1024)


def script(path: Path, text: str) -> None:
    written(path, f"#!/bin/sh\n{text}\n".encode()).chmod(0o755)


def shown(parameter: object) -> str:
    """A parameter in a test's id: words of a command line."""
    return " ".join(parameter) if isinstance(parameter, list) else str(parameter)


def tools(folder: Path, *names: str) -> dict[str, str]:
    """An environment whose PATH has these programs only."""
    folder.mkdir()
    for name in names:
        (folder / name).symlink_to(proc.need(name))
    return {"PATH": str(folder)}


@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        (b"just a text\n", USAGE, r"is no kernel image; pass a bzImage"),
        (
            b"\x7fELF\2\1\1" + bytes(11) + b"\x3e\0" + bytes(1024),
            USAGE,
            r"is an ELF file.*; pass arch/x86/boot/bzImage",
        ),
        (ARM64, USAGE, r"is an arm64 kernel; this suite was verified on x86-64 with 4 KiB pages only"),
        (THIRTY_TWO, USAGE, r"is a 32-bit x86 kernel; this suite was verified on x86-64"),
        (fakekernel.image()[:-200], USAGE, r"is a damaged kernel image"),
        (fakekernel.image(with_btf=False), USAGE, r"has no BTF.*; build it with CONFIG_DEBUG_INFO_BTF=y"),
        (fakekernel.image(config=NO_MEMCG), USAGE, r"was built without CONFIG_MEMCG.*; build it with CONFIG_MEMCG=y"),
        (
            fakekernel.image(config=NO_SHARE),
            USAGE,
            r"that shares files with the host: it lacks CONFIG_NET_9P_VIRTIO; build it",
        ),
        (fakekernel.image(functions=["mem_cgroup_css_alloc"]), FAILED, r"has none of the memcg BPF kfuncs.*; judge a"),
    ],
    ids=["text", "elf", "arm64", "32-bit", "cut short", "no BTF", "no MEMCG", "no 9p", "no kfuncs"],
)
def test_a_kernel_that_cannot_be_judged(judge: Judge, tmp_path: Path, content: bytes, status: int, said: str) -> None:
    ended = judge("--kernel", written(tmp_path / "vmlinuz", content))
    assert ended.status == status, ended.text
    assert_matches(said, ended.line)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--kernel", "nonsense"], USAGE, "there is no kernel 'nonsense'; write debian, debian:SERIES"),
        (["--kernel", "debian:nonsense"], USAGE, "there is no Debian kernel 'debian:nonsense'; write debian or"),
        (["--kernel", "/nowhere/vmlinuz"], USAGE, "/nowhere/vmlinuz does not exist"),
        (["--kernel", "/"], USAGE, "/ has neither vmlinuz nor arch/x86/boot/bzImage; pass an image"),
        (["--debian-mirror", "http://127.0.0.1:9"], INFRA, r"cannot be reached.*; check the network.*--debian-mirror"),
        (["--debian-mirror", "example"], USAGE, "'example' is no URL; it begins with http://"),
    ],
    ids=shown,
)
def test_a_kernel_that_does_not_exist(judge: Judge, words: list[str], status: int, said: str) -> None:
    ended = judge(*words)
    assert ended.status == status, ended.text
    assert_matches(said, ended.line)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--contract", "v9"], "there is no contract 'v9'; the known ones are v2, v7.0"),
        (["--results", "/proc/nowhere"], "/proc/nowhere cannot be written .*; choose another with --results"),
        (
            ["--results", "README.md"],
            r"README\.md cannot be written \(it is no folder\); choose another with --results",
        ),
        (["--memory", "900000G"], r"a VM of 900000G does not fit: there are [\d.]+ GiB here; use a smaller --memory"),
    ],
    ids=shown,
)
def test_an_option_that_cannot_be_met(judge: Judge, image: Path, words: list[str], said: str) -> None:
    """It is said before any test is collected: what would be is all there is."""
    ended = judge("--kernel", image, *words, tests="selftests")
    assert ended.status == (INFRA if "--results" in words else USAGE), ended.text
    assert_matches(said, ended.line)
    assert "deselected" not in ended.text
    assert "collected" not in ended.text


@pytest.mark.parametrize("words", [["--cpus", "0"], ["--cpus", "two"], ["--memory", "plenty"]], ids=shown)
def test_an_option_that_means_nothing(judge: Judge, words: list[str]) -> None:
    ended = judge(*words)
    assert ended.status == USAGE, ended.text
    assert_matches(rf"error: argument {words[0]}: .*{words[1]}", ended.text)
    assert_matches("see: scripts/kfunc --help", ended.text.rstrip().splitlines()[-1])
    assert "Traceback" not in ended.text


def test_no_test_is_selected(judge: Judge, image: Path) -> None:
    ended = judge("--kernel", image, "-k", "nothing_of_this_name")
    assert ended.status == NOTHING, ended.text
    assert_matches("no test was selected by -k 'nothing_of_this_name' and .*; scripts/kfunc --collect-only", ended.line)


def test_no_qemu(judge: Judge, image: Path, tmp_path: Path) -> None:
    ended = judge("--kernel", image, env=tools(tmp_path / "bin", "clang"))
    assert ended.status == INFRA
    assert_matches("qemu-system-x86_64 is not installed; scripts/setup installs it", ended.line)


@pytest.mark.parametrize("tests", ["selftests/test_usage.py", "selftests/test_verifier.py"])
def test_no_clang(judge: Judge, image: Path, tmp_path: Path, tests: str) -> None:
    """The tests of the verifier are made from what clang compiles, so theirs is missed earlier."""
    ended = judge("--kernel", image, tests=tests, env=tools(tmp_path / "bin", "qemu-system-x86_64"))
    assert ended.status == INFRA
    assert_matches("clang is not installed; scripts/setup installs it", ended.line)


def test_no_libbpf(judge: Judge, image: Path, tmp_path: Path) -> None:
    written(tmp_path / "lib" / "libbpf.so.1", b"no library")
    ended = judge("--kernel", image, env={"LD_LIBRARY_PATH": str(tmp_path / "lib")})
    assert ended.status == INFRA
    assert_matches(r"libbpf.so.1 cannot be loaded.*libbpf1.*; scripts/setup installs it", ended.line)


def test_no_virtme_ng(judge: Judge, image: Path, tmp_path: Path) -> None:
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.symlink_to(base := Path(sys.executable).resolve())
    # An environment of its own: what else is installed for that Python is none of the test's.
    (tmp_path / "pyvenv.cfg").write_text(f"home = {base.parent}\n")
    ended = judge("--kernel", image, python=python, env={"PYTHONPATH": sysconfig.get_path("purelib")})
    assert ended.status == INFRA
    assert_matches("virtme-ng is not installed; run scripts/setup", ended.line)


def test_a_machine_of_another_architecture(judge: Judge, image: Path) -> None:
    ended = judge("--kernel", image, wrapper=[proc.need("setarch"), "i686"])
    assert ended.status == INFRA
    assert_matches("this machine is i686; the suite was verified on x86-64 with 4 KiB pages only", ended.line)


@pytest.mark.parametrize(
    ("said", "status", "remedy"),
    [
        ("memcg_kfuncs.h:1:10: fatal error: 'bpf/bpf_helpers.h' file not found", INFRA, "install libbpf-dev"),
        ("iter.bpf.c:7:1: error: expected ';'", USAGE, "to see it again: "),
    ],
    ids=["no header", "syntax"],
)
def test_a_bpf_file_that_does_not_compile(
    judge: Judge, image: Path, tmp_path: Path, said: str, status: int, remedy: str
) -> None:
    script(tmp_path / "bin" / "clang", f'echo "{said}" >&2; exit 1')
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    ended = judge("--kernel", image, tests="selftests/test_verifier.py", env={"PATH": path})
    assert ended.status == status, ended.text
    assert said in ended.line
    assert remedy in ended.line


def test_the_cache_is_no_folder(judge: Judge, image: Path, tmp_path: Path) -> None:
    ended = judge("--kernel", image, env={"KFUNCTEST_CACHE": str(image)})
    assert ended.status == INFRA
    assert_matches("the cache .* cannot be written; set KFUNCTEST_CACHE to a folder of yours", ended.line)


def test_no_space_for_a_compiled_program(judge: Judge, image: Path, tmp_path: Path) -> None:
    script(tmp_path / "bin" / "clang", "echo 'fatal error: IO failure: No space left on device' >&2; exit 1")
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    ended = judge("--kernel", image, tests="selftests/test_verifier.py", env={"PATH": path})
    assert ended.status == INFRA, ended.text
    assert_matches("no space left for the cache in .*; free some, or set KFUNCTEST_CACHE", ended.line)


@pytest.mark.parametrize("tests", ["selftests/test_usage.py", "selftests/test_verifier.py"])
def test_no_space_in_the_cache(judge: Judge, image: Path, tmp_path: Path, tests: str) -> None:
    enter = [proc.need("unshare"), "--mount", "--map-root-user", "sh", "-c"]
    mount = 'mount -t tmpfs -o nr_inodes=3 none "$0" && exec "$@"'
    place = tmp_path / "cache"
    place.mkdir()
    if proc.run([*enter, mount, place, "true"], seconds=20, check=False).status:
        pytest.skip("not applicable: this machine lets us mount nothing")
    ended = judge("--kernel", image, tests=tests, wrapper=[*enter, mount, str(place)])
    assert ended.status == INFRA
    assert_matches("no space left for the cache in .*; free some, or set KFUNCTEST_CACHE", ended.line)


def test_the_line_and_the_status_come_through_pytest_xdist(judge: Judge) -> None:
    ended = judge("-n", "2", "--kernel", "nonsense")
    assert ended.status == USAGE, ended.text
    assert_matches("there is no kernel 'nonsense'", ended.line)


def test_what_ends_a_worker_of_pytest_xdist_ends_the_run(judge: Judge, image: Path, tmp_path: Path) -> None:
    """The controller looks at options, machine and kernel, the workers at everything else, as here at a program."""
    words = ("-n", "2", "--kernel", image)
    env = tools(tmp_path / "bin", "qemu-system-x86_64")
    script(tmp_path / "bin" / "clang", "echo 'iter.bpf.c:7:1: error: too much' >&2; exit 1")
    ended = judge(*words, tests="selftests/test_verifier.py", env=env)
    assert ended.status == USAGE, ended.text
    assert_matches("error: too much", ended.line)


def test_host_tests_ask_for_no_kernel(judge: Judge, tmp_path: Path) -> None:
    ended = judge("--collect-only", "-q", "--kernel", "nonsense", "-m", "not kfunc", tests="tests")
    assert ended.status == 0, ended.text
    assert not (tmp_path / "cache").exists()
