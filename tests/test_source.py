# SPDX-License-Identifier: GPL-2.0-only
"""SOURCE: a git tree at a revision, or a plain folder; and what is left of it alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from kfunctest import proc
from kfunctest.errors import SpecError
from kfunctest.kernels import source
from kfunctest.kernels.build_dir import opened
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


def test_a_git_tree_means_its_head(tree: Path) -> None:
    found = source.resolve(str(tree))
    assert found.tree == git(tree, "rev-parse", "HEAD^{tree}")
    assert found.release == (7, 9)
    head = git(tree, "rev-parse", "--short=12", "HEAD")
    assert found.words == f"{tree} at {head} (mm: the second)"


def test_a_revision_is_what_git_understands(tree: Path) -> None:
    for name in ("HEAD~1", "main~1", "v7.9-rc1^", git(tree, "rev-parse", "--short", "HEAD~1"), "HEAD@{0}~1"):
        assert source.resolve(f"{tree}@{name}").tree == git(tree, "rev-parse", "HEAD~1^{tree}"), name


def test_all_revisions_of_a_repository_have_one_lineage(tree: Path, tmp_path: Path) -> None:
    git(tree, "worktree", "add", "--quiet", tmp_path / "linked", "HEAD~1")
    link = tmp_path / "link"
    link.symlink_to(tree)
    found = [source.resolve(str(path)) for path in (tree, f"{tree}@HEAD~1", tmp_path / "linked", link)]
    assert len({each.lineage for each in found}) == 1
    assert [each.tree for each in found[:2]] == [found[3].tree, found[2].tree]


def test_a_path_may_hold_the_at_sign(tree: Path) -> None:
    odd = tree.rename(tree.with_name("linux@work"))
    assert source.resolve(str(odd)).tree == git(odd, "rev-parse", "HEAD^{tree}")
    assert source.resolve(f"{odd}@HEAD~1").tree == git(odd, "rev-parse", "HEAD~1^{tree}")


def test_a_relative_path_starts_where_it_is_said_to(tree: Path) -> None:
    assert source.resolve("linux@HEAD~1", base=tree.parent).tree == git(tree, "rev-parse", "HEAD~1^{tree}")


def test_a_bare_repository_has_a_source_too(tree: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", "--bare", tree, "bare.git")
    assert source.resolve(str(tmp_path / "bare.git")).tree == git(tree, "rev-parse", "HEAD^{tree}")


def test_a_clone_that_borrows_its_objects(tree: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", "--shared", tree, "shared")
    found = source.resolve(str(tmp_path / "shared"))
    with opened(found.lineage, ()) as slot:
        slot.check_out(found.store, found.tree)
        assert (slot.src / "mm" / "memcontrol.c").read_text() == (tree / "mm" / "memcontrol.c").read_text()


@pytest.mark.parametrize("filtered", ["blob:none", "tree:0"])
def test_a_partial_clone_that_lacks_files(tree: Path, tmp_path: Path, filtered: str) -> None:
    """What it has builds; what it lacks is not fetched behind the user's back, and the remedy fetches it."""
    for setting in ("allowFilter", "allowAnySHA1InWant"):
        git(tree, "config", f"uploadpack.{setting}", "true")
    git(tmp_path, "clone", "--quiet", f"--filter={filtered}", f"file://{tree}", "partial clone")
    part = tmp_path / "partial clone"
    assert source.resolve(str(part)).tree == git(tree, "rev-parse", "HEAD^{tree}")
    before = snapshot(part)
    with pytest.raises(SpecError, match=r"partial clone lacks 1 files or folders of 'HEAD~1'; fetch them: ") as raised:
        source.resolve(f"{part}@HEAD~1")
    assert snapshot(part) == before
    proc.run(["sh", "-c", raised.value.remedy.partition(": ")[2]], seconds=60)
    assert source.resolve(f"{part}@HEAD~1").tree == git(tree, "rev-parse", "HEAD~1^{tree}")


def test_nothing_of_the_users_is_touched(tree: Path, tmp_path: Path) -> None:
    """Not the tree, not the index, not the refs, not the objects: compared byte by byte, with times."""
    (tree / "mm" / "untracked.c").write_text("")
    (tree / "mm" / "vmscan.c").touch()  # git status would write this into the index
    before = snapshot(tree)
    found = source.resolve(str(tree))
    with opened(found.lineage, ()) as slot:
        slot.check_out(found.store, found.tree)
        assert (slot.src / "mm" / "memcontrol.c").read_text() == (tree / "mm" / "memcontrol.c").read_text()
        older = source.resolve(f"{tree}@HEAD~1")
        slot.check_out(older.store, older.tree)
        assert "return 2;" in (slot.src / "mm" / "memcontrol.c").read_text()
    assert snapshot(tree) == before


def test_nothing_of_the_users_attributes_counts(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither those of all repositories nor those of this one; and no file is left out that they have git ignore."""
    settings = tmp_path / "settings" / "git"
    settings.mkdir(parents=True)
    (settings / "attributes").write_text("* text eol=crlf\n")
    (settings / "ignore").write_text("*.c\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(settings.parent))
    (tree / ".git" / "info" / "attributes").write_text("* text eol=crlf\n")
    found = source.resolve(f"{tree}@HEAD")
    plain = shutil.copytree(tree, tmp_path / "plain", ignore=shutil.ignore_patterns(".git"))
    assert source.resolve(str(plain)).tree == found.tree
    with opened(found.lineage, ()) as slot:
        slot.check_out(found.store, found.tree)
        assert (slot.src / "Makefile").read_bytes() == (tree / "Makefile").read_bytes()


def test_a_checkout_writes_only_what_differs(tree: Path) -> None:
    newer, older = source.resolve(str(tree)), source.resolve(f"{tree}@HEAD~1")
    with opened(newer.lineage, ()) as slot:
        slot.check_out(newer.store, newer.tree)
        before = snapshot(slot.src)
        slot.check_out(older.store, older.tree)
        after = snapshot(slot.src)
    assert {name for name in before if after[name] != before[name]} <= {"mm", "mm/memcontrol.c"}


def test_a_checkout_that_was_torn_is_made_whole(tree: Path) -> None:
    """A git that was killed left its lock, half a file, and one that no tree has."""
    found = source.resolve(str(tree))
    with opened(found.lineage, ()) as slot:
        slot.check_out(found.store, found.tree)
        (slot.folder / "index.lock").touch()
        (slot.folder / "checking-out").touch()
        (slot.src / "mm" / "memcontrol.c").write_text("long")
        (slot.src / "mm" / "stray.c").touch()
        slot.check_out(found.store, found.tree)
        assert (slot.src / "mm" / "memcontrol.c").read_text() == (tree / "mm" / "memcontrol.c").read_text()
        assert not (slot.src / "mm" / "stray.c").exists()


def test_a_dirty_tree_is_refused_unless_a_revision_is_named(tree: Path) -> None:
    edit(tree / "mm" / "memcontrol.c", "return 3", "return 33")
    edit(tree / "kernel" / "fork.c", "one()", "1")
    with pytest.raises(SpecError, match=rf"not committed \(kernel/fork.c and 1 more\); commit them, or .*{tree}@HEAD"):
        source.resolve(str(tree))
    assert source.resolve(f"{tree}@HEAD").tree == git(tree, "rev-parse", "HEAD^{tree}")


def test_what_git_does_not_track_makes_no_tree_dirty(tree: Path) -> None:
    (tree / "notes").write_text("")
    assert source.resolve(str(tree)).tree == git(tree, "rev-parse", "HEAD^{tree}")


def test_an_unknown_revision(tree: Path) -> None:
    with pytest.raises(SpecError, match=r"has no revision 'v9'; git -C .* fetch, or write a commit"):
        source.resolve(f"{tree}@v9")


def test_a_shallow_tree_has_what_it_has(tree: Path, tmp_path: Path) -> None:
    first = git(tree, "rev-parse", "HEAD~1")
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{tree}", "shallow")
    shallow = tmp_path / "shallow"
    assert source.resolve(str(shallow)).tree == git(tree, "rev-parse", "HEAD^{tree}")
    for revision in (first, "HEAD~1"):
        with pytest.raises(SpecError, match=rf"shallow git tree .* no revision .*; git -C {shallow} fetch --unshallow"):
            source.resolve(f"{shallow}@{revision}")


def test_what_is_no_kernels_source(tmp_path: Path, tree: Path) -> None:
    (tmp_path / "empty").mkdir()
    other = tmp_path / "other"
    other.mkdir()
    (other / "Makefile").write_text("all:\n")
    no_commit = tmp_path / "fresh"
    no_commit.mkdir()
    git(no_commit, "init", "--quiet")
    for place in ("empty", "other"):
        with pytest.raises(SpecError, match=rf"{place} is not a kernel's source: it has no Kconfig, or no Makefile"):
            source.resolve(str(tmp_path / place))
    with pytest.raises(SpecError, match=r"fresh has no commit yet"):
        source.resolve(str(no_commit))
    with pytest.raises(SpecError, match=r"other is no git tree, so that it has no revisions"):
        source.resolve(f"{other}@v7.0")
    edit(tree / "Makefile", "PATCHLEVEL = 9\n", "")
    commit(tree)
    with pytest.raises(SpecError, match="at HEAD is not a kernel's source"):
        source.resolve(str(tree))


def test_a_source_for_other_machines(tree: Path) -> None:
    (tree / "arch/x86/Makefile").unlink()
    commit(tree)
    with pytest.raises(SpecError, match=r"at HEAD is a kernel's source without arch/x86, .*; give it the whole source"):
        source.resolve(str(tree))


def test_what_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"the source .*/nowhere does not exist; write debian:7\.2, a git tree"):
        source.resolve(str(tmp_path / "nowhere"))
    with pytest.raises(SpecError, match=r"there is no source 'nonsense'; write debian:7\.2"):
        source.resolve("nonsense", base=tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(SpecError, match=r"file is no folder"):
        source.resolve(str(tmp_path / "file"))
