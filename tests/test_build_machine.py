# SPDX-License-Identifier: GPL-2.0-only
"""Building on a machine that lacks something: tools, memory, space."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kfunctest import proc
from kfunctest.errors import InfraError, NoSpace
from kfunctest.kernels import toolchain
from kfunctest.kernels.toolchain import Toolchain
from tests.building import TOOLS, child, made, needs_build_tools
from tests.fakesource import commit, edit
from tests.pytest_result import written

pytestmark = [needs_build_tools, pytest.mark.usefixtures("cache_here")]
CHECKOUT = Path(__file__).resolve().parents[1]


def limited(tmp_path: Path, **programs: str) -> str:
    """A PATH with the tools of a build, of which ``programs`` are scripts of ours; an empty one is missing."""
    folder = tmp_path / "bin"
    for name in (*TOOLS, "sh", "cp", "mv", "grep", "cat", "mkdir", "echo", "rm", "as", "sleep"):
        if name not in programs:
            folder.mkdir(exist_ok=True)
            (folder / name).symlink_to(proc.need(name))
    for name, text in programs.items():
        if text:
            written(folder / name, f"#!/bin/sh\n{text}\n".encode()).chmod(0o755)
    return str(folder)


def test_no_compiler(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", limited(tmp_path, gcc="", flex="", **{"as": ""}))
    monkeypatch.setattr(proc, "find", finder(tmp_path / "bin"))
    with pytest.raises(InfraError, match=r"gcc, flex are not installed, to build a kernel; scripts/setup --build"):
        made(tree)


def finder(folder: Path) -> object:
    """proc.find() of a machine that has nothing but ``folder``."""
    return lambda name: folder / name if (folder / name).exists() else None


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("v1.21", r"pahole 1\.21 is too old: this source needs 1\.22 or newer for BTF; install a newer one"),
        ("", r"pahole is not installed, to build a kernel; scripts/setup --build"),
    ],
    ids=["old", "missing"],
)
def test_pahole(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, problem: str) -> None:
    monkeypatch.setenv("PATH", limited(tmp_path, pahole=f"echo {said}" if said else ""))
    monkeypatch.setattr(proc, "find", finder(tmp_path / "bin"))
    with pytest.raises(InfraError, match=problem):
        made(tree)


def test_a_pahole_that_is_new_enough(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", limited(tmp_path, pahole="echo v1.30"))
    assert made(tree).provenance.pahole == "v1.30"


def test_another_compiler_makes_another_kernel(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = made(tree)
    gcc = proc.need("gcc")
    text = f'[ "$1" = --version ] && {{ echo "gcc (Other) 99.1"; exit; }}; exec {gcc} "$@"'
    monkeypatch.setenv("PATH", limited(tmp_path, gcc=text))
    second = made(tree)
    assert second.key != first.key
    assert second.provenance.compiler == "gcc (Other) 99.1"


def test_a_compiler_that_the_kernel_killed_is_the_machines_fault(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = 'case "$*" in *fork.c) echo "gcc: fatal error: Killed signal terminated program cc1" >&2; exit 1;; esac\n'
    monkeypatch.setenv("PATH", limited(tmp_path, gcc=f'{text}exec {proc.need("gcc")} "$@"'))
    with pytest.raises(InfraError, match=r"Killed signal terminated program cc1; the machine is out of memory"):
        made(tree)


def test_a_make_that_the_kernel_killed_is_the_machines_fault(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Make leads the group of all that it runs."""
    text = 'case "$*" in *fork.c) read -r _ _ _ _ leader _ < /proc/$$/stat; kill -9 $leader;; esac\n'
    monkeypatch.setenv("PATH", limited(tmp_path, gcc=f'{text}exec {proc.need("gcc")} "$@"'))
    with pytest.raises(InfraError, match=r"by signal 9; if nobody did, the machine is out of memory; the whole log"):
        made(tree)


@pytest.mark.parametrize(
    "name", ["a cache", "a:cache", "a,cache", "a=cache", "a%cache", "a#cache", "a'cache", "a$cache"]
)
def test_a_cache_in_which_the_kernels_make_does_not_work(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("KFUNCTEST_CACHE", str(tmp_path / name))
    said = f"make takes no {name[1]!r} in a path; set KFUNCTEST_CACHE to a path of letters, digits"
    with pytest.raises(InfraError, match=re.escape(said)):
        made(tree)


def test_a_full_disk_that_only_a_program_saw(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "fatal error: error writing to memcontrol.s: No space left on device"
    text = f'case "$*" in *fork.c) echo "{said}" >&2; exit 1;; esac\n'
    monkeypatch.setenv("PATH", limited(tmp_path, gcc=f'{text}exec {proc.need("gcc")} "$@"'))
    with pytest.raises(NoSpace, match=r"no space left for the cache in .*; free some, or set KFUNCTEST_CACHE"):
        made(tree)


@pytest.mark.parametrize(("size", "copied"), [("3M", False), ("8M", True)], ids=["compiling", "copying"])
def test_a_full_disk_leaves_nothing_half_written(tree: Path, tmp_path: Path, size: str, copied: bool) -> None:
    """The cache on a disk of some megabytes: an object takes three, vmlinux three, and the copy of that three."""
    enter = [proc.need("unshare"), "--mount", "--map-root-user", "sh", "-c"]
    place = tmp_path / "cache"
    place.mkdir()
    look = 'find "$0/built" -mindepth 1 2>/dev/null; echo images: $(find "$0/trees" -name bzImage)'
    mount = f'mount -t tmpfs -o size={size} none "$0" && "$@"; s=$?; {look}; exit $s'
    if proc.run([*enter, 'mount -t tmpfs none "$0"', place], seconds=20, check=False).status:
        pytest.skip("not applicable: this machine lets us mount nothing")
    edit(tree / "kernel" / "fork.c", "long spoon", "char big[3000000] = { 1 };\nlong spoon")
    commit(tree)
    done = proc.run([*enter, mount, place, *child(tree)], seconds=60, cwd=CHECKOUT, check=False)
    assert done.status == 3, done.stderr
    line = done.stderr.splitlines()[-1]
    assert re.match(r"build-kernel: no space left for the cache in .*; free some, or set KFUNCTEST_CACHE", line), line
    assert "Traceback" not in done.stderr
    (left,) = done.stdout.splitlines()
    assert left.startswith("images:")
    assert left.endswith("bzImage") is copied


def test_ccache_is_used_where_it_is(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", limited(tmp_path))
    first = made(tree)
    edit(tree / "mm" / "vmscan.c", "one()", "2 * one()")
    commit(tree)
    said = tmp_path / "said"
    ccache = written(
        tmp_path / "bin" / "ccache",
        f'#!/bin/sh\necho "$CCACHE_BASEDIR $@" >> {said}\nexec {tmp_path}/bin/gcc "$@"\n'.encode(),
    )
    ccache.chmod(0o755)
    second = made(tree)
    lines = [line for line in said.read_text().splitlines() if " -c " in line]
    assert len(lines) == 1
    assert lines[0].startswith(str(tmp_path / "cache" / "trees" / "linux-"))
    assert "vmscan" in lines[0]
    assert second.provenance.compiler == first.provenance.compiler


def test_without_ccache_a_compiler_that_is_one_does_not_remember(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its folder may be the first of PATH, and its program elsewhere."""
    said = tmp_path / "said"
    text = f'echo "$CCACHE_DISABLE $@" >> {said}; exec {proc.need("gcc")} "$@"'
    monkeypatch.setenv("PATH", limited(tmp_path, gcc=text))
    monkeypatch.setattr(proc, "find", finder(tmp_path / "bin"))
    made(tree)
    lines = [line for line in said.read_text().splitlines() if " -c " in line]
    assert lines
    assert all(line.startswith("1 ") for line in lines)


def test_ccache_is_told_where_to_remember_and_not_what_to_compile_with(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The compiler in the provenance is the one that compiled."""
    said = tmp_path / "said"
    text = (
        f'echo "${{CCACHE_COMPILER-}}${{CCACHE_IGNOREOPTIONS-}}$CCACHE_DIR $@" >> {said}; exec {proc.need("gcc")} "$@"'
    )
    monkeypatch.setenv("PATH", limited(tmp_path, gcc=text))
    for name, value in (("CCACHE_COMPILER", "clang"), ("CCACHE_IGNOREOPTIONS", "-D*"), ("CCACHE_DIR", "/remembered")):
        monkeypatch.setenv(name, value)
    made(tree)
    lines = [line for line in said.read_text().splitlines() if " -c " in line]
    assert lines
    assert all(line.startswith("/remembered ") for line in lines), lines


@pytest.mark.parametrize(("version", "expected"), [("v1.24", "-J one two"), ("v1.27", "-J -j2 one two")])
def test_an_old_pahole_is_kept_from_making_no_two_images_alike(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, expected: str
) -> None:
    edit(tree / "Makefile", "\t@echo '  LD      vmlinux'", "\t@pahole -J -j2 one two")
    commit(tree)
    said = tmp_path / "said"
    text = f'[ "$1" = --version ] && {{ echo {version}; exit; }}; echo "$@" >> {said}'
    monkeypatch.setenv("PATH", limited(tmp_path, pahole=text))
    made(tree)
    assert said.read_text().splitlines() == [expected]


def test_a_wrapper_that_was_written_otherwise_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    tools = Toolchain("gcc 12", "ld 2", "v1.24", None)
    before = toolchain.wrappers(tools)
    assert toolchain.wrappers(tools) == before
    monkeypatch.setattr(toolchain, "_WITHOUT_J", "#!/bin/sh\n# mended\nexec {pahole}\n")
    after = toolchain.wrappers(tools)
    assert "# mended" in (after / "pahole").read_text()
    assert "# mended" not in (before / "pahole").read_text()


def test_a_wrapper_half_written_by_a_killed_run_is_in_nobodys_way(tmp_path: Path) -> None:
    tools = Toolchain("gcc 12", "ld 2", "v1.24", tmp_path / "ccache")
    place = toolchain.wrappers(tools)
    torn = place.with_name(f".partial-{place.name}-x")
    place.rename(torn)
    (torn / "pahole").unlink()
    assert toolchain.wrappers(tools) == place
    assert {path.name for path in place.iterdir()} == {"gcc", "pahole"}
    assert not torn.exists()
