# SPDX-License-Identifier: GPL-2.0-only
"""Compiling BPF programs into the cache."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kfunctest import bpfbuild, proc
from kfunctest.errors import InfraError, SpecError

GOOD = """
#include "value.h"
__attribute__((section("syscall"))) int program(void *ctx) { return VALUE; }
"""


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KFUNCTEST_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "bpf"
    folder.mkdir()
    (folder / "value.h").write_text("#define VALUE 1\n")
    path = folder / "one.bpf.c"
    path.write_text(GOOD)
    return path


@pytest.fixture
def no_clang(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_options: object) -> None:
        pytest.fail("a program was started")

    monkeypatch.setattr(proc, "run", refuse)


def test_object_is_a_bpf_elf_file(source: Path) -> None:
    made = bpfbuild.build(source)
    assert made.name == "one.bpf.o"
    assert made.read_bytes()[18:20] == (247).to_bytes(2, "little")  # EM_BPF


def test_second_time_starts_nothing(source: Path, request: pytest.FixtureRequest) -> None:
    first = bpfbuild.build(source)
    request.getfixturevalue("no_clang")
    assert bpfbuild.build(source) == first


def test_changed_header_compiles_again(source: Path) -> None:
    first = bpfbuild.build(source)
    source.with_name("value.h").write_text("#define VALUE 2\n")
    second = bpfbuild.build(source)
    assert first.read_bytes() != second.read_bytes()


def test_changed_source_compiles_again(source: Path) -> None:
    first = bpfbuild.build(source)
    source.write_text(GOOD.replace("VALUE;", "VALUE + 1;"))
    assert bpfbuild.build(source) != first


def test_another_clang_compiles_again(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = bpfbuild.build(source)
    wrapper = tmp_path / "clang"
    wrapper.write_text(f'#!/bin/sh\nexec {proc.need("clang")} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    second = bpfbuild.build(source)
    assert first.parent != second.parent
    os.utime(wrapper, (1, 1))
    assert bpfbuild.build(source).parent != second.parent


def test_error_is_the_compilers_first_with_place_and_command(source: Path) -> None:
    source.write_text("int first(void) { return missing; }\nint second(void) { return gone; }\n")
    with pytest.raises(SpecError) as caught:
        bpfbuild.build(source)
    message = str(caught.value)
    assert message.startswith(f"{source}:1:26: error: use of undeclared identifier 'missing'; to see it again: ")
    assert "gone" not in message
    assert message.endswith(f"-c {source} -o /dev/null")


def test_failed_file_leaves_nothing_in_the_cache(source: Path, tmp_path: Path) -> None:
    source.write_text("nonsense")
    with pytest.raises(SpecError):
        bpfbuild.build(source)
    assert list((tmp_path / "cache" / "bpf").iterdir()) == []


def test_headers_and_options_of_the_users_environment_are_not_taken(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "theirs" / "bpf").mkdir(parents=True)
    (tmp_path / "theirs" / "bpf" / "bpf_helpers.h").write_text("#error another libbpf's header\n")
    source.write_text(f"#include <linux/types.h>\n#include <bpf/bpf_helpers.h>\n{source.read_text()}")
    monkeypatch.setenv("CPATH", str(tmp_path / "theirs"))
    monkeypatch.setenv("CCC_OVERRIDE_OPTIONS", "+--no-such-option")
    assert bpfbuild.build(source).is_file()


def test_warning_is_an_error(source: Path) -> None:
    source.write_text("static int unused(void) { return 1; }\n")
    with pytest.raises(SpecError, match="unused function 'unused'"):
        bpfbuild.build(source)


@pytest.mark.parametrize(
    "header, package", [("bpf/no_such_header.h", "libbpf-dev"), ("linux/no_such.h", "linux-libc-dev")]
)
def test_missing_header_of_the_system_names_the_package(source: Path, header: str, package: str) -> None:
    source.write_text(f"#include <{header}>\n")
    with pytest.raises(InfraError, match=f"'{header}' file not found.*{package}"):
        bpfbuild.build(source)


def test_missing_header_of_ours_is_the_files_fault(source: Path) -> None:
    source.write_text('#include "nowhere.h"\n')
    with pytest.raises(SpecError, match=r"nowhere\.h"):
        bpfbuild.build(source)


def test_file_that_is_not_there(source: Path) -> None:
    with pytest.raises(SpecError, match=r"no BPF program .*two\.bpf\.c"):
        bpfbuild.build(source.with_name("two.bpf.c"))


def test_no_clang_is_the_machines_fault(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proc, "find", lambda _tool: None)
    with pytest.raises(InfraError, match="clang is not installed; scripts/setup"):
        bpfbuild.build(source)


def test_every_program_of_the_suite_compiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KFUNCTEST_CACHE", str(tmp_path))
    sources = sorted((Path(__file__).parent.parent / "selftests" / "bpf").glob("*.bpf.c"))
    assert sources
    for source in sources:
        assert bpfbuild.build(source).is_file()


#: What libbpf's header has since 1.2 (the struct only declared), and linux/bpf.h since 6.4 (the struct whole).
NEWER_LIBBPF = """
#include_next <bpf/bpf_helpers.h>
#ifndef bpf_for_each
struct bpf_iter_num;
extern int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __weak __ksym;
extern int *bpf_iter_num_next(struct bpf_iter_num *it) __weak __ksym;
extern void bpf_iter_num_destroy(struct bpf_iter_num *it) __weak __ksym;
#define bpf_for_each
#endif
"""
NEWER_LINUX = """
#include_next <linux/bpf.h>
#include <linux/version.h>
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 4, 0)
struct bpf_iter_num { __u64 __opaque[1]; } __attribute__((aligned(8)));
#endif
"""
PROGRAMS = sorted((Path(__file__).resolve().parents[1] / "selftests/bpf").glob("*.bpf.c"))


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.name)
@pytest.mark.parametrize(
    "newer", [("bpf/bpf_helpers.h",), ("linux/bpf.h",), ("bpf/bpf_helpers.h", "linux/bpf.h")], ids="+".join
)
def test_our_programs_compile_with_newer_headers(program: Path, newer: tuple[str, ...], tmp_path: Path) -> None:
    texts = {"bpf/bpf_helpers.h": NEWER_LIBBPF, "linux/bpf.h": NEWER_LINUX}
    for name in newer:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(texts[name])
    argv = [proc.need("clang"), *bpfbuild.FLAGS, "-I", str(tmp_path), *bpfbuild._includes(program.parent)]
    proc.run([*argv, "-c", program, "-o", tmp_path / "out.o"], seconds=60)
