# SPDX-License-Identifier: GPL-2.0-only
"""SOURCE after a power cut or a kill: what is torn is told or made anew."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from kfunctest import proc
from kfunctest.errors import InfraError, SpecError
from kfunctest.kernels import source
from kfunctest.kernels.build_dir import opened
from kfunctest.kernels.gitstore import Store
from tests import fakesource
from tests.building import needs
from tests.fakesource import commit, edit, git

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


def test_an_index_that_is_damaged_makes_no_tree_clean(tree: Path) -> None:
    edit(tree / "mm" / "memcontrol.c", "return 3", "return 33")
    (tree / ".git" / "index").write_bytes(b"DIRC" + bytes(40))
    with pytest.raises(SpecError, match=rf"cannot tell whether {tree} has changes: fatal: .*; mend it .*{tree}@HEAD"):
        source.resolve(str(tree))
    assert source.resolve(f"{tree}@HEAD").tree == git(tree, "rev-parse", "HEAD^{tree}")


def test_a_store_that_was_deleted_is_made_anew(plain: Path, tmp_path: Path) -> None:
    for path in plain.rglob("*"):
        os.utime(path, (1e9, 1e9))  # so that git need not look at the content to know that it is the same
    first = source.resolve(str(plain))
    shutil.rmtree(tmp_path / "cache" / "trees" / "store.git")
    again = source.resolve(str(plain))
    assert again.tree == first.tree
    with opened(again.lineage, ()) as slot:
        slot.check_out(again.store, again.tree)
        assert (slot.src / "mm" / "memcontrol.c").is_file()


def test_a_store_that_was_killed_in_its_making_is_made_anew(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(argv: list[str], **_: object) -> None:
        (Path(argv[-1]) / "objects").mkdir(parents=True)
        (Path(argv[-1]) / "HEAD").touch()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(proc, "run", killed)
        with pytest.raises(KeyboardInterrupt):
            Store().make()
    assert not Store().folder.exists()
    checked_out(str(plain))
    assert not list(Store().folder.parent.glob("*.partial*"))


def checked_out(text: str) -> None:
    """Resolve a source and check it out."""
    found = source.resolve(text)
    with opened(found.lineage, ()) as slot:
        slot.check_out(found.store, found.tree)


def torn(path: Path) -> None:
    """What a power cut leaves of a file that was just written."""
    path.chmod(0o644)
    path.write_bytes(b"")


@pytest.mark.parametrize("name", ["mm/memcontrol.c", "Makefile", ""])
def test_what_a_power_cut_tore_is_told_with_its_remedy(plain: Path, name: str) -> None:
    """An object of the store, be it a file or a folder of the source; and its index."""
    found = source.resolve(str(plain))
    thing = found.store.git("rev-parse", f"{found.tree}:{name}").stdout.strip()
    torn(found.store.folder / "objects" / thing[:2] / thing[2:])
    with pytest.raises(InfraError, match=r"store\.git is damaged: .*is corrupt; remove it, .*: rm -rf ") as raised:
        checked_out(str(plain))
    proc.run(["sh", "-c", raised.value.remedy.partition(": ")[2]], seconds=60)
    assert source.resolve(str(plain)).tree == found.tree


def test_an_index_that_a_power_cut_tore(plain: Path) -> None:
    found = source.resolve(str(plain))
    (index,) = (found.store.folder / "indexes").iterdir()
    index.write_bytes(b"DIRC")
    with pytest.raises(InfraError, match=r"indexes/folder-.* is damaged: .*index file smaller.*; remove it") as raised:
        source.resolve(str(plain))
    proc.run(["sh", "-c", raised.value.remedy.partition(": ")[2]], seconds=60)
    assert source.resolve(str(plain)).tree == found.tree


def test_a_damaged_repository_of_the_users_is_not_ours_to_remove(tree: Path) -> None:
    thing = git(tree, "rev-parse", "HEAD:mm/memcontrol.c")
    torn(tree / ".git" / "objects" / thing[:2] / thing[2:])
    with pytest.raises(SpecError, match=rf"is damaged: .*; git -C {tree}/.git fsck"):
        checked_out(f"{tree}@HEAD")
