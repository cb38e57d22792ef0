# SPDX-License-Identifier: GPL-2.0-only
"""SOURCE as a plain folder: what of it is source, whatever was there before."""

from __future__ import annotations

from pathlib import Path

import pytest

from kfunctest.errors import SpecError
from kfunctest.kernels import source
from tests import fakesource
from tests.building import needs
from tests.fakesource import commit, edit, git, snapshot

pytestmark = [needs("git"), pytest.mark.usefixtures("cache_here")]


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A source in a folder."""
    return fakesource.write(tmp_path / "linux")


@pytest.fixture
def tree(plain: Path) -> Path:
    """The same in a git tree with two commits, of which the second is tagged."""
    commit(plain, "mm: the first")
    edit(plain / "mm" / "memcontrol.c", "return 2", "return 22")
    commit(plain, "mm: the second")
    git(plain, "tag", "v7.9-rc1")
    return plain


def test_a_plain_folder_gives_the_tree_that_git_would(plain: Path) -> None:
    (plain / ".gitignore").write_text("*.o\n")
    (plain / "stale.o").write_bytes(b"object")
    before = snapshot(plain)
    found = source.resolve(str(plain))
    assert snapshot(plain) == before
    commit(plain)
    assert found.tree == git(plain, "rev-parse", "HEAD^{tree}")


def files(found: source.Source) -> set[str]:
    """The files of a source."""
    return set(found.store.git("ls-tree", "-r", "--name-only", found.tree).stdout.split())


def test_debians_source_says_that_all_of_it_is_ignored(plain: Path) -> None:
    """And it may have been built in, so that what is left of that is no part of it."""
    (plain / ".gitignore").write_text("*.o\n.*.cmd\n/*\n!/debian/\n")
    before = source.resolve(str(plain))
    assert files(before) == {*fakesource.FILES, "image", ".gitignore"}
    for name in (
        "vmlinux",
        "vmlinux.o",
        "System.map",
        ".config",
        ".config.old",
        "Module.symvers",
        ".Module.symvers.cmd",
    ):
        (plain / name).touch()
    (plain / "mm" / "memcontrol.o").touch()
    (plain / "mm" / ".memcontrol.o.cmd").touch()
    assert source.resolve(str(plain)).tree == before.tree


def test_a_file_that_came_and_one_that_went(plain: Path) -> None:
    before = files(source.resolve(str(plain)))
    (plain / "mm" / "new file.c").touch()
    (plain / "mm" / "vmscan.c").unlink()
    (plain / "mm" / "vmscan.c").mkdir()
    (plain / "mm" / "vmscan.c" / "inner").touch()
    after = source.resolve(str(plain))
    listed = set(after.store.git("ls-tree", "-r", "--name-only", after.tree).stdout.splitlines())
    assert listed - before == {"mm/new file.c", "mm/vmscan.c/inner"}
    assert before - listed == {"mm/vmscan.c"}


def test_the_tree_is_that_of_a_fresh_cache(plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was read before: a file that is ignored by now, one in what is a repository of its own by now."""
    for name in ("mm/notes", "tools/inner.c", "link"):
        (plain / name).parent.mkdir(exist_ok=True)
        (plain / name).touch()
    assert {"mm/notes", "tools/inner.c", "link"} <= files(source.resolve(str(plain)))
    (plain / ".gitignore").write_text("notes\n")
    (plain / "link").unlink()
    (plain / "link").symlink_to("Makefile")
    (plain / "image").chmod(0o755)
    commit(plain / "tools")
    here = source.resolve(str(plain))
    monkeypatch.setenv("KFUNCTEST_CACHE", str(tmp_path / "fresh"))
    assert here.tree == source.resolve(str(plain)).tree
    assert files(here).isdisjoint({"mm/notes", "tools/inner.c"})


def test_a_plain_folder_that_was_changed_is_another_tree(plain: Path) -> None:
    first = source.resolve(str(plain))
    edit(plain / "mm" / "memcontrol.c", "return 3", "return 4")
    second = source.resolve(str(plain))
    assert first.tree != second.tree
    assert first.lineage == second.lineage


def test_a_folder_inside_somebodys_repository_is_a_plain_one(tree: Path) -> None:
    inner = fakesource.write(tree / "third_party" / "linux", mm__memcontrol_DOT_c="int other;\n")
    assert source.resolve(str(inner)).words.startswith(f"{inner}, tree ")


TRACES = ("include/config/auto.conf", "arch/x86/include/generated/asm/unistd.h")


@pytest.mark.parametrize("trace", TRACES)
def test_a_folder_that_was_built_in(plain: Path, trace: str, cache_here: Path) -> None:
    """What .gitignore tells from source is left out; without it, the folder is named before any of it is read."""
    before = files(source.resolve(str(plain)))
    path = plain / trace
    path.parent.mkdir(parents=True)
    path.touch()
    (plain / ".config").touch()
    for folder in ("include/config", "arch/x86/include/generated"):
        (plain / folder).mkdir(parents=True, exist_ok=True)
    (plain / "new").write_text("a file that is not in the store yet")
    store = snapshot(cache_here / "trees" / "store.git" / "objects")
    match = rf"^{plain} was built in: it holds {path.parent.relative_to(plain).as_posix()[:14]}.*; make -C {plain} "
    with pytest.raises(SpecError, match=match):
        source.resolve(str(plain))
    assert snapshot(cache_here / "trees" / "store.git" / "objects") == store
    (plain / "new").unlink()
    (plain / ".gitignore").write_text("/include/config/\n/arch/*/include/generated/\n")
    assert files(source.resolve(str(plain))) == {*before, ".gitignore"}


@pytest.mark.parametrize("trace", [*TRACES, ".config"])
def test_a_build_that_was_committed(tree: Path, trace: str) -> None:
    (tree / trace).parent.mkdir(parents=True, exist_ok=True)
    (tree / trace).write_text("CONFIG_MEMCG=y\n")
    commit(tree, "vendor: all that was there")
    with pytest.raises(SpecError, match=rf"^{tree} at HEAD contains build output, {trace[:14]}.*; git rm"):
        source.resolve(str(tree))
    assert source.resolve(f"{tree}@HEAD~1").release == (7, 9)
