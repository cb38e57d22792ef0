# SPDX-License-Identifier: GPL-2.0-only
"""Building: what is built when, what is kept, and how it goes on after whatever ended it."""

from __future__ import annotations

import io
import os
import re
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from kfunctest import cache, proc
from kfunctest.errors import InfraError, NoSpace, SpecError
from kfunctest.kernels import build, patches, slot, source
from kfunctest.kernels.build import Built, Recipe
from kfunctest.kernels.progress import Progress
from kfunctest.wait import wait_until
from tests import fakesource
from tests.fakesource import commit, edit, git
from tests.judging import written

TOOLS = ("git", "make", "gcc", "ld", "flex", "bison", "bc", "perl", "pahole")
pytestmark = pytest.mark.skipif(
    any(proc.find(tool) is None for tool in TOOLS), reason="needs what scripts/setup --build installs"
)
CHECKOUT = Path(__file__).resolve().parents[1]
SLOW = "long slow(void) { return 1; }\n" + "".join(f"long f{n}(long a) {{ return a * {n}; }}\n" for n in range(20))


@pytest.fixture(autouse=True)
def cache_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of this test's own, for ccache too."""
    monkeypatch.setenv("KFUNCTEST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CCACHE_DIR", str(tmp_path / "ccache"))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A kernel in a git tree."""
    tree = fakesource.write(tmp_path / "linux")
    commit(tree, "the base")
    return tree


def made(tree: Path | str, *paths: Path, flavours: tuple[str, ...] = (), contract: str | None = None) -> Built:
    """Build the source ``tree`` with the patches in ``paths``."""
    recipe = Recipe(source.resolve(str(tree)), patches.read(paths), flavours, contract)
    return build.build(recipe, Progress(io.StringIO()))


def compiled(built: Built) -> set[str]:
    """What make compiled for this kernel, by its log."""
    return set(re.findall(r"^  CC +(\S+)$", (built.folder / build.LOG).read_text(), re.MULTILINE))


def running(what: Path) -> list[int]:
    """The processes whose command line or folder has to do with ``what``, but for ourselves."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            told = (path / "cmdline").read_bytes() + bytes((path / "cwd").readlink())
            if bytes(what) in told and int(path.name) != os.getpid() and b"python" not in told.split(b"\0")[0]:
                found.append(int(path.name))
    return found


@pytest.fixture
def held(tree: Path, tmp_path: Path) -> Path:
    """The same tree with a compiler that stops at kernel/fork.c, half-way through, until the file given exists."""
    gate = tmp_path / "gate"
    hold = f"if [ $* = kernel/fork ]; then echo half > $@; while ! [ -e {gate} ]; do sleep 0.05; done; fi; "
    edit(tree / "Makefile", "\t@gcc $(KCFLAGS)", f"\t@{hold}gcc $(KCFLAGS)")
    commit(tree)
    return gate


def test_a_kernel_is_kept_with_its_provenance(tree: Path) -> None:
    built = made(tree)
    assert {path.name for path in built.folder.iterdir()} == {
        "vmlinuz",
        "vmlinux",
        "config",
        "build.log",
        "provenance.json",
    }
    head = git(tree, "rev-parse", "--short", "HEAD")
    assert built.provenance.source == f"{tree} at {head} (the base)"
    assert built.provenance.tree == git(tree, "rev-parse", "HEAD^{tree}")
    assert built.provenance.config_digest == cache.digest((built.folder / "config").read_text())
    assert built.provenance.compiler.startswith("gcc ")
    assert build.read_provenance(built.folder) == built.provenance
    assert compiled(built) == {"mm/memcontrol.o", "mm/vmscan.o", "kernel/fork.o"}


def test_the_same_is_not_built_twice_nor_checked_out(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = made(tree)
    monkeypatch.setattr(slot, "opened", None)
    assert made(tree) == first


def test_a_change_compiles_what_depends_on_it(tree: Path) -> None:
    first = made(tree)
    edit(tree / "mm" / "vmscan.c", "one()", "2 * one()")
    commit(tree)
    second = made(tree)
    assert compiled(second) == {"mm/vmscan.o"}
    edit(tree / "include" / "all.h", "long one", "long two(void);\nlong one")
    commit(tree)
    assert len(compiled(made(tree))) == 3
    assert made(f"{tree}@HEAD~2") == first


def test_a_patch_and_a_commit_of_it_are_one_kernel(tree: Path, tmp_path: Path) -> None:
    git(tree, "tag", "base")
    edit(tree / "mm" / "memcontrol.c", "return 2", "return 22")
    commit(tree, "mm: larger")
    git(tree, "format-patch", "--quiet", "-o", tmp_path / "series", "base")
    patched = made(f"{tree}@base", tmp_path / "series")
    committed = made(tree)
    assert patched.key == committed.key
    assert [subject for _, subject in patched.provenance.patches] == ["mm: larger"]
    assert committed.provenance.patches == ()


def test_the_same_tree_gives_the_same_image_elsewhere(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = (made(tree).folder / "vmlinuz").read_bytes()
    monkeypatch.setenv("KFUNCTEST_CACHE", str(tmp_path / "another" / "cache"))
    for name, value in {"KCFLAGS": "-g -O3", "MAKEFLAGS": "-n", "CC": "false", "KBUILD_OUTPUT": "/nowhere"}.items():
        monkeypatch.setenv(name, value)
    again = made(tree)
    assert (again.folder / "vmlinuz").read_bytes() == first


@pytest.mark.parametrize(
    "other", [{"flavours": ("mglru",)}, {"contract": "v2"}], ids=["another flavour", "another contract"]
)
def test_what_makes_another_kernel(tree: Path, other: dict[str, tuple[str, ...]]) -> None:
    assert made(tree).key != made(tree, **other).key  # type: ignore[arg-type]


def test_an_option_that_is_lost_stops_the_build_before_it_starts(tree: Path) -> None:
    (tree / "dropped").write_text("CONFIG_MEMCG=\n")
    commit(tree)
    with pytest.raises(SpecError, match=r"memcg\.config:\d+: CONFIG_MEMCG=y"):
        made(tree)
    assert not list((cache.root() / "trees").rglob("*.o"))


def test_the_first_error_and_the_log_are_named(tree: Path) -> None:
    edit(tree / "mm" / "vmscan.c", "return one();", "return one()")
    commit(tree)
    with pytest.raises(SpecError) as raised:
        made(tree)
    assert re.match(r"the kernel does not build: \S*mm/vmscan\.c:5:\d+: error: expected", raised.value.problem)
    assert "return one()" in raised.value.evidence
    log = re.search(r"the whole log is (\S+)", raised.value.remedy)
    assert log
    assert "make" in Path(log[1]).read_text()
    assert not (cache.root() / "built").exists()


def test_a_build_that_failed_goes_on_from_what_is_built(tree: Path) -> None:
    edit(tree / "mm" / "vmscan.c", "return one();", "return one()")
    commit(tree)
    with pytest.raises(SpecError):
        made(tree)
    edit(tree / "mm" / "vmscan.c", "return one()", "return one();")
    commit(tree)
    assert "mm/vmscan.o" in compiled(made(tree))


def test_a_symbol_that_is_nowhere(tree: Path) -> None:
    edit(tree / "mm" / "vmscan.c", "one()", "nowhere()")
    edit(tree / "include" / "all.h", "long one", "long nowhere(void);\nlong one")
    edit(tree / "Makefile", "-nostdlib -r -Wl,--no-undefined", "-nostdlib -shared -Wl,--no-undefined")
    edit(tree / "Makefile", "$(KCFLAGS)", "$(KCFLAGS) -fPIC")
    commit(tree)
    with pytest.raises(SpecError, match=r"vmscan.*undefined reference to .nowhere"):
        made(tree)


def child(tree: Path, **env: str) -> list[str]:
    """The command line of a process that builds ``tree`` here."""
    return [sys.executable, "-m", "kfunctest.build_kernel", str(tree)]


def test_a_killed_build_leaves_no_process_and_resumes(tree: Path, held: Path) -> None:
    """The half-written object, newer than its source, must not pass for a whole one."""
    with proc.spawn(child(tree), cwd=CHECKOUT) as process:
        slots = cache.root() / "trees"
        wait_until(lambda: list(slots.rglob("obj/kernel/fork.o")), seconds=60, what="make to be half-way")
        wait_until(lambda: list(slots.rglob("obj/mm/.*.cmd")), seconds=60, what="another object")
        assert running(slots)
        process.kill()
        process.wait()
    wait_until(lambda: not running(slots), seconds=10, what="make and its children to be gone")
    held.touch()
    built = made(tree)
    assert "kernel/fork.o" in compiled(built)
    assert len(compiled(built)) < 3, "it began anew"
    assert b"half" not in next(slots.rglob("obj/kernel/fork.o")).read_bytes()[:4]


def test_the_guard_against_half_written_objects_sees_a_rebuild(tree: Path, held: Path) -> None:
    """An object that was whole, and was being made again: its command line is there, from before."""
    held.touch()
    made(tree)
    held.unlink()
    edit(tree / "kernel" / "fork.c", "one()", "2 * one()")
    commit(tree)
    slots = cache.root() / "trees"
    with proc.spawn(child(tree), cwd=CHECKOUT) as process:
        wait_until(
            lambda: next(slots.rglob("obj/kernel/fork.o")).read_bytes()[:4] == b"half", seconds=60, what="half of it"
        )
        process.kill()
        process.wait()
    wait_until(lambda: not running(slots), seconds=10, what="make and its children to be gone")
    held.touch()
    assert compiled(made(tree)) == {"kernel/fork.o"}


def test_ctrl_c_ends_it_promptly(tree: Path, held: Path) -> None:
    with proc.spawn(child(tree), cwd=CHECKOUT, stderr=proc.PIPE) as process:
        slots = cache.root() / "trees"
        wait_until(lambda: list(slots.rglob("obj/kernel/fork.o")), seconds=60, what="make to be half-way")
        start = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert time.monotonic() - start < 8
        assert process.stderr
        assert b"interrupted; the next run goes on" in process.stderr.read()
    assert not running(slots)
    held.touch()
    made(tree)


def test_two_at_once_build_once(tree: Path, held: Path) -> None:
    with ThreadPoolExecutor() as pool:
        both = [pool.submit(made, tree) for _ in range(2)]
        wait_until(lambda: list((cache.root() / "trees").rglob("obj/kernel/fork.o")), seconds=60, what="make")
        threading.Timer(0.5, held.touch).start()
        first, second = (each.result(60) for each in both)
    assert first == second
    assert len(list((cache.root() / "built").iterdir())) == 1
    (log,) = (cache.root() / "trees").glob("*/build.log")
    assert log.read_text().count("CC      kernel/fork.o") == 1


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


def test_a_full_disk_that_only_a_program_saw(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "fatal error: error writing to /tmp/x: No space left on device"
    text = f'case "$*" in *fork.c) echo "{said}" >&2; exit 1;; esac\n'
    monkeypatch.setenv("PATH", limited(tmp_path, gcc=f'{text}exec {proc.need("gcc")} "$@"'))
    with pytest.raises(NoSpace, match=r"no space left for the cache in .*; free some, or set KFUNCTEST_CACHE"):
        made(tree)


def test_a_full_disk_leaves_nothing_half_written(tree: Path, tmp_path: Path) -> None:
    """The cache on a disk of a megabyte, which objects of some megabytes fill."""
    enter = [proc.need("unshare"), "--mount", "--map-root-user", "sh", "-c"]
    place = tmp_path / "cache"
    place.mkdir()
    mount = 'mount -t tmpfs -o size=3M none "$0" && "$@"; s=$?; echo left: $(cd "$0" && ls -A built 2>&1); exit $s'
    if proc.run([*enter, 'mount -t tmpfs none "$0"', place], seconds=20, check=False).status:
        pytest.skip("not applicable: this machine lets us mount nothing")
    edit(tree / "kernel" / "fork.c", "long spoon", "char big[3000000] = { 1 };\nlong spoon")
    commit(tree)
    done = proc.run([*enter, mount, place, *child(tree)], seconds=60, cwd=CHECKOUT, check=False)
    assert done.status == 3, done.stderr
    line = done.stderr.splitlines()[-1]
    assert re.match(r"build-kernel: no space left for the cache in .*; free some, or set KFUNCTEST_CACHE", line), line
    assert "Traceback" not in done.stderr
    assert "vmlinuz" not in done.stdout
    assert ".partial" not in done.stdout
