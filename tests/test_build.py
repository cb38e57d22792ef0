# SPDX-License-Identifier: GPL-2.0-only
"""Building: what is built when, what is kept, and what a failed one says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kfunctest import cache
from kfunctest.errors import SpecError
from kfunctest.kernels import build, build_dir, fragments
from tests import fakesource
from tests.building import compiled, made, needs_build_tools
from tests.fakesource import commit, edit, git

pytestmark = [needs_build_tools, pytest.mark.usefixtures("cache_here")]


def test_a_kernel_is_kept_with_its_provenance(tree: Path) -> None:
    built = made(tree)
    assert {path.name for path in built.folder.iterdir()} == {
        "vmlinuz",
        "vmlinux",
        "config",
        "build.log",
        "inputs.json",
        "provenance.json",
    }
    head = git(tree, "rev-parse", "--short=12", "HEAD")
    assert built.provenance.source == f"{tree} at {head} (the base)"
    assert built.provenance.tree == git(tree, "rev-parse", "HEAD^{tree}")
    assert built.provenance.compiler.startswith("gcc ")
    assert build.read_provenance(built.folder) == built.provenance
    assert compiled(built) == {"mm/memcontrol.o", "mm/vmscan.o", "kernel/fork.o"}


def test_the_same_is_not_built_twice_nor_checked_out(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = made(tree)
    monkeypatch.setattr(build_dir, "opened", None)
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
        f"{tree} at {git(tree, 'rev-parse', '--short=12', 'base')} (the base)",
        ["mm: larger"],
    )
    assert (theirs.source, theirs.patches) == (
        f"{tree} at {git(tree, 'rev-parse', '--short=12', 'HEAD')} (mm: larger)",
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
