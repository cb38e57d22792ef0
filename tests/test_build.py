# SPDX-License-Identifier: GPL-2.0-only
"""Building: what is built when, what is kept, and how it goes on after whatever ended it."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from kfunctest import cache, proc
from kfunctest.errors import SpecError
from kfunctest.kernels import build, fragments, slot
from kfunctest.kernels.build import Built
from kfunctest.wait import wait_until
from tests import fakesource
from tests.building import child, made, needs_build_tools
from tests.fakesource import commit, edit, git

pytestmark = needs_build_tools
CHECKOUT = Path(__file__).resolve().parents[1]


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
    assert built.provenance.compiler.startswith("gcc ")
    assert build.read_provenance(built.folder) == built.provenance
    assert compiled(built) == {"mm/memcontrol.o", "mm/vmscan.o", "kernel/fork.o"}


def test_the_same_is_not_built_twice_nor_checked_out(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = made(tree)
    monkeypatch.setattr(slot, "opened", None)
    assert made(tree) == first


def test_a_build_touches_nothing_of_the_users(tree: Path, tmp_path: Path) -> None:
    """Neither its files nor its index, refs and objects: compared byte by byte, with times."""
    edit(tree / "mm" / "vmscan.c", "one()", "2 * one()")
    (tmp_path / "a.diff").write_text(git(tree, "diff") + "\n")
    (tree / "mm" / "untracked.c").write_text("no C at all")
    before = fakesource.snapshot(tree)
    made(f"{tree}@HEAD", tmp_path / "a.diff")
    assert fakesource.snapshot(tree) == before


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


def test_a_patch_and_a_commit_of_it_are_one_image_of_two_origins(tree: Path, tmp_path: Path) -> None:
    git(tree, "tag", "base")
    edit(tree / "mm" / "memcontrol.c", "return 2", "return 22")
    commit(tree, "mm: larger")
    git(tree, "format-patch", "--quiet", "-o", tmp_path / "series", "base")
    patched = made(f"{tree}@base", tmp_path / "series")
    committed = made(tree)
    assert patched.image_digest == committed.image_digest
    ours, theirs = (build.read_provenance(built.folder) for built in (patched, committed))
    assert ours
    assert theirs
    assert ours.tree == theirs.tree
    assert (ours.source, [subject for _, subject in ours.patches]) == (
        f"{tree} at {git(tree, 'rev-parse', '--short', 'base')} (the base)",
        ["mm: larger"],
    )
    assert (theirs.source, theirs.patches) == (
        f"{tree} at {git(tree, 'rev-parse', '--short', 'HEAD')} (mm: larger)",
        (),
    )
    assert compiled(committed) == set(), "the slot had all of it"


def test_a_flavour_that_adds_no_option_is_an_image_of_its_own(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is part of the kernel's name, which is in the image."""
    plain = made(tree)
    load = fragments.load
    monkeypatch.setattr(fragments, "load", lambda _flavours, release: load((), release))
    flavoured = made(tree, flavours=("mglru",))
    assert (flavoured.folder / build.CONFIG).read_bytes() == (plain.folder / build.CONFIG).read_bytes()
    assert (flavoured.folder / build.IMAGE).read_bytes().endswith(b"-mglru\n")
    assert (plain.folder / build.IMAGE).read_bytes().endswith(b"-slim\n")
    assert build.read_provenance(flavoured.folder) == flavoured.provenance


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


def test_a_configuration_is_made_anew_where_it_may_differ(tree: Path) -> None:
    """A log begins with the configuration, where one was made."""

    def configured() -> bool:
        return "CONFIGURED" in (made(tree).folder / "build.log").read_text()

    edit(tree / "Makefile", "olddefconfig:", "olddefconfig:\n\t@echo CONFIGURED")
    commit(tree)
    assert configured()
    edit(tree / "mm" / "vmscan.c", "one()", "2 * one()")
    commit(tree)
    assert not configured()
    edit(tree / "lib" / "Kconfig.debug", "OTHER", "ANOTHER")
    commit(tree)
    assert configured()


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


def test_a_tool_half_linked_by_a_killed_build_is_linked_anew(tree: Path, tmp_path: Path) -> None:
    """The kernel's build links its tools by plain rules, which leave no command line."""
    gate = tmp_path / "gate"
    (tree / "Makefile").write_text(
        (tree / "Makefile").read_text()
        + "$(objects): $(O)/tools/objtool/objtool\n$(O)/tools/objtool/objtool:\n\t@mkdir -p $(@D); echo half > $@\n"
        + f"\t@while ! [ -e {gate} ]; do sleep 0.05; done; echo whole > $@\n"
    )
    commit(tree)
    slots = cache.root() / "trees"
    with proc.spawn(child(tree), cwd=CHECKOUT) as process:
        wait_until(lambda: list(slots.rglob("obj/tools/objtool/objtool")), seconds=60, what="the tool")
        process.kill()
        process.wait()
    wait_until(lambda: not running(slots), seconds=10, what="make and its children to be gone")
    gate.touch()
    made(tree)
    (tool,) = slots.rglob("obj/tools/objtool/objtool")
    assert tool.read_text() == "whole\n"


@pytest.mark.parametrize(
    ("tool", "command", "stays"),
    [(300, 250, False), (300, 400, True), (150, 100, True), (150, 400, True)],
    ids=["the last thing made", "objects came after it", "from an earlier run", "long before"],
)
def test_whole_tools_stay(tmp_path: Path, tool: int, command: int, stays: bool) -> None:
    """Of a run that began at 200 and was killed: to link a tool anew is to compile the whole kernel anew."""
    place = slot.Slot(tmp_path)
    times = {"obj/tools/objtool/objtool": tool, "obj/mm/slub.o": command, "obj/mm/.slub.o.cmd": command}
    for name, seconds in {**times, "obj/tools/objtool/.x.o.cmd": 100, "unfinished": 200}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (seconds, seconds))
    with place.working():
        assert (place.obj / "tools").exists() is stays
        assert place.unfinished.stat().st_mtime > time.time() - 60
    assert not place.unfinished.exists()
    assert (place.obj / "mm" / "slub.o").exists()


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
