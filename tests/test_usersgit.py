# SPDX-License-Identifier: GPL-2.0-only
"""Repositories as users have them: elsewhere, another user's, in larger ones; and settings, which must not matter."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kfunctest import proc, shell
from kfunctest.bisect import command, git_bisect
from kfunctest.bisect.builder import Builder
from kfunctest.bisect.git_bisect import History
from kfunctest.bisect.trials import Selection
from kfunctest.errors import SpecError
from kfunctest.kernels import source
from kfunctest.kernels.build_dir import opened
from kfunctest.plugin import facts
from tests import fakesource
from tests.building import needs
from tests.fakesource import commit, edit, git

pytestmark = [needs("git"), pytest.mark.usefixtures("cache_here")]


def bisected(path: Path) -> Any:
    """What scripts/bisect makes of its options before it builds anything."""
    argv = ["--tree", str(path), "--good", "HEAD", "--bad", "HEAD"]
    options = shell.parsed(command._parser(), argv, command.Options)
    return command._asked(options, [], Selection((), ()))


#: What build-kernel and series, and what bisect asks of a repository.
WAYS: tuple[Callable[[Path], object], ...] = (
    lambda path: source.resolve(str(path)),
    lambda path: source.resolve(f"{path}@HEAD"),
    bisected,
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's settings, empty."""
    for name in [name for name in os.environ if name.startswith(("GIT_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def settings(home: Path, **values: str) -> None:
    """Set ``section__name`` to a value for the user."""
    text = "".join(f"[{key.partition('__')[0]}]\n{key.partition('__')[2]} = {value}\n" for key, value in values.items())
    (home / ".gitconfig").write_text(text)


@pytest.mark.parametrize("way", WAYS)
def test_a_worktree_whose_repository_is_elsewhere(way: Callable[[Path], object], tree: Path, tmp_path: Path) -> None:
    linked, there = tmp_path / "linked", tree / ".git" / "worktrees" / "linked"
    git(tree, "worktree", "add", "--quiet", linked)
    way(linked)
    tree.rename(tmp_path / "moved")
    with pytest.raises(SpecError, match=f"{linked}/.git leads to a repository that is not there, {there}; mount") as e:
        way(linked)
    repair = e.value.remedy.partition("where it is now, git ")[2]
    git(tmp_path / "moved", *repair.split())
    way(linked)


@pytest.mark.parametrize("way", WAYS)
def test_a_link_to_a_repository_that_is_not_there(way: Callable[[Path], object], tree: Path, tmp_path: Path) -> None:
    """It is a git tree all the same, and not a plain folder with whatever is in it."""
    (tree / ".git").rename(tmp_path / "gone")
    (tree / ".git").symlink_to("../repository")
    with pytest.raises(SpecError, match=r"\.git leads to \.\./repository, which is not there"):
        way(tree)


@pytest.fixture
def foreign(tree: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree that git takes for another user's, as it does for its own tests (GIT_TEST_ASSUME_DIFFERENT_OWNER)."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "git").write_text(f'#!/bin/sh\nGIT_TEST_ASSUME_DIFFERENT_OWNER=1 exec {proc.need("git")} "$@"\n')
    (tools / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    return tree


@pytest.mark.parametrize("way", WAYS)
def test_another_users_tree_is_opened_by_permission(
    way: Callable[[Path], object], foreign: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = foreign / ".git" / "config"
    own.write_text(own.read_text() + f"[safe]\ndirectory = {foreign}\n")  # which it cannot give itself
    with pytest.raises(SpecError, match=f"does not trust {foreign}, .*another user; git config --global --add") as e:
        way(foreign)
    proc.run(e.value.remedy.split(), seconds=60)
    way(foreign)
    (home / ".gitconfig").unlink()
    for name, value in (("COUNT", "1"), ("KEY_0", "safe.directory"), ("VALUE_0", "*")):
        monkeypatch.setenv(f"GIT_CONFIG_{name}", value)
    way(foreign)


def signed(tree: Path) -> str:
    """HEAD again, with a signature that nobody can verify."""
    text = git(tree, "cat-file", "commit", "HEAD") + "\n"
    begin, end = "gpgsig -----BEGIN PGP SIGNATURE-----\n \n", " iHUEABYKAB0WIQ==\n -----END PGP SIGNATURE-----\n"
    file = tree.parent / "signed"
    file.write_text(re.sub(r"^(committer .*\n)", rf"\1{begin}{end}", text, flags=re.MULTILINE))
    return git(tree, "hash-object", "-t", "commit", "-w", str(file))


TASTES = {
    "log__showSignature": "true",
    "log__decorate": "full",
    "core__abbrev": "40",
    "color__ui": "always",
    "color__status": "always",
    "diff__noprefix": "true",
    "core__autocrlf": "true",
    "core__pager": "false",
    "core__fsmonitor": "/nonexistent",
    "status__short": "true",
    "status__branch": "true",
    "commit__gpgSign": "true",
    "safe__bareRepository": "explicit",
    "i18n__logOutputEncoding": "iso-8859-1",
    "format__signature": "me",
    "format__attach": "true",
}


def test_a_users_settings_do_not_matter(tree: Path, home: Path, tmp_path: Path) -> None:
    """Neither for the source nor for its name in words, by which kernels are kept; nor do the repository's own."""
    edit(tree / "mm" / "memcontrol.c", "return 2", "return 22")
    commit(tree, "mm: größer")
    name = signed(tree)
    git(tree, "clone", "--quiet", "--bare", tree, tmp_path / "bare.git")
    edit(tree / "mm" / "vmscan.c", "one()", "1")
    specs = [f"{tree}@{name}", f"{tree}@HEAD", str(tmp_path / "bare.git")]

    def seen() -> list[object]:
        log = History(tree, tmp_path / "history.git")
        found = [source.resolve(spec) for spec in specs]
        with pytest.raises(SpecError, match=r"not committed \(mm/vmscan\.c\)"):
            source.resolve(str(tree))
        return [*((one.words, one.tree) for one in found), log.patch(name), log.commit(name), log.short(name)]

    plain = seen()
    assert plain[0] == (f"{tree} at {name[:12]} (mm: größer)", git(tree, "rev-parse", "HEAD^{tree}"))
    (tmp_path / "gpg").write_text("#!/bin/sh\necho 'gpg: no public key' >&2; exit 1\n")
    (tmp_path / "gpg").chmod(0o755)
    tastes = {**TASTES, "gpg__program": str(tmp_path / "gpg")}
    settings(home, **tastes)
    (home / ".config" / "git").mkdir(parents=True)
    (home / ".config" / "git" / "attributes").write_text("*.c -diff\n")
    assert seen() == plain
    for key, value in tastes.items():
        git(tree, "config", key.replace("__", "."), value)
    assert seen() == plain


def test_what_is_a_change_the_users_settings_say(tree: Path, home: Path) -> None:
    """Files that git checked out with other ends of lines are as they were committed."""
    settings(home, core__autocrlf="true")
    path = tree / "mm" / "vmscan.c"
    path.unlink()
    proc.run([proc.need("git"), "-C", tree, "checkout", "--quiet", "--", "mm"], seconds=60)
    assert b"\r\n" in path.read_bytes()
    path.touch()  # so that git looks into it
    assert source.resolve(str(tree)).tree == git(tree, "rev-parse", "HEAD^{tree}")
    edit(path, "one()", "1")
    with pytest.raises(SpecError, match=r"not committed \(mm/vmscan\.c\)"):
        source.resolve(str(tree))


def test_within_a_hook(tree: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Git tells a hook about the repository that it is at work in, which is another one than the kernel's."""
    monkeypatch.setattr(facts, "CHECKOUT", tree)
    expected, project = source.resolve(str(tree)), facts._project()
    assert git(tree, "rev-parse", "HEAD").startswith(project)
    other = tmp_path / "other"
    other.mkdir()
    (other / "file").touch()
    commit(other)
    for name, value in (
        ("DIR", other / ".git"),
        ("WORK_TREE", other),
        ("INDEX_FILE", tmp_path / "nothing"),
        ("OBJECT_DIRECTORY", tmp_path / "objects"),
        ("PREFIX", "mm/"),
        ("CONFIG_COUNT", 1),
        ("CONFIG_KEY_0", "core.bare"),
        ("CONFIG_VALUE_0", "true"),
        ("CONFIG_PARAMETERS", "'core.bare'='true'"),
    ):
        monkeypatch.setenv(f"GIT_{name}", str(value))
    assert source.resolve(str(tree)) == expected
    assert git_bisect.commit_of(tree, "HEAD") == git(tree, "rev-parse", "HEAD")
    assert facts._project() == project


@pytest.fixture
def larger(tmp_path: Path) -> Path:
    """A repository with a kernel in each of two of its folders."""
    for name in ("src/linux", "src/other"):
        fakesource.write(tmp_path / "larger" / name, kernel__fork_DOT_c=f"int {name[4:]};\n")
    commit(tmp_path / "larger", "mm: all of it")
    return tmp_path / "larger"


def test_a_kernel_in_a_folder_of_a_larger_repository(larger: Path) -> None:
    """Its tree is that folder's, and what is built of it is kept apart from the other's."""
    path = larger / "src" / "linux"
    (path / "notes").touch()
    expected = git(larger, "rev-parse", "HEAD:src/linux")
    texts = (
        f"{path}@HEAD",
        f"{larger}@HEAD:src/linux",
        f"{larger}@HEAD^{{/mm: all}}:src/linux",
        f"{path}@HEAD^{{/mm: all}}",
    )
    found = [source.resolve(text) for text in texts]
    assert {each.tree for each in found} == {expected}
    assert {each.lineage for each in found} == {f"{larger}/.git/src/linux"}
    name = git(larger, "rev-parse", "--short=12", "HEAD")
    assert found[0].words == f"{path} at {name} (mm: all of it)"
    assert found[1].words == f"{larger} at {name} (mm: all of it), directory src/linux"
    with opened(found[1].lineage, ()) as slot:
        slot.check_out(found[1].store, found[1].tree)
        assert (slot.src / "kernel" / "fork.c").read_text() == "int linux;\n"
    assert source.resolve(str(path)).words.startswith(f"{path}, tree ")
    assert git_bisect.common_folder(path) != git_bisect.common_folder(larger / "src" / "other")


def test_a_folder_that_a_revision_lacks(larger: Path) -> None:
    path = larger / "src" / "newer"
    shutil.copytree(larger / "src" / "linux", path)
    for text in (f"{path}@HEAD", f"{larger}@HEAD:src/newer"):
        with pytest.raises(SpecError, match="has no directory src/newer at HEAD; git -C"):
            source.resolve(text)
    for text in (f"{larger}@HEAD:src/linux/Makefile", f"{larger}@HEAD"):
        with pytest.raises(SpecError, match=r"is not a kernel's source|has no directory"):
            source.resolve(text)


@pytest.mark.parametrize("way", WAYS)
def test_a_repository_that_names_its_objects_otherwise(way: Callable[[Path], object], tmp_path: Path) -> None:
    tree = fakesource.write(tmp_path / "linux")
    git(tree, "init", "--quiet", "--object-format=sha256")
    commit(tree)
    with pytest.raises(SpecError, match=r"names its objects by sha256.*as a plain directory: mkdir DIR && ") as raised:
        way(tree)
    proc.run(["sh", "-c", raised.value.remedy.partition(": ")[2].replace("DIR", f"{tmp_path}/plain")], seconds=60)
    assert source.resolve(str(tmp_path / "plain")).release == (7, 9)


def test_a_replaced_commit_is_what_git_shows_of_it(tree: Path, tmp_path: Path) -> None:
    """Its tree is the other's, its name says so, and what is bisected is the history that git log shows."""
    base = git(tree, "rev-parse", "HEAD")
    edit(tree / "mm" / "memcontrol.c", "return 2", "return 99")
    other = commit(tree, "mm: in its place")
    git(tree, "reset", "--quiet", "--hard", base)
    assert History(tree, tmp_path / "history.git").commit(base).subject == "the base"
    name = git_bisect.common_folder(tree)
    git(tree, "replace", base, other)
    assert git_bisect.common_folder(tree) != name  # by which is remembered what a commit came to
    found = source.resolve(f"{tree}@{base}")
    assert found.tree == git(tree, "rev-parse", f"{other}^{{tree}}")
    assert found.words == f"{tree} at {base[:12]} (mm: in its place, replaced by {other[:12]})"
    assert History(tree, tmp_path / "history.git").commit(base).subject == "mm: in its place"
    git(tree, "replace", "-d", base)
    assert History(tree, tmp_path / "history.git").commit(base).subject == "the base"
    assert source.resolve(f"{tree}@{base}").words == f"{tree} at {base[:12]} (the base)"


def test_replaced_files_are_not_taken_for_the_old_ones(tree: Path) -> None:
    old, new = (git(tree, "rev-parse", f"HEAD:mm/{name}.c") for name in ("memcontrol", "vmscan"))
    git(tree, "replace", old, new)
    with pytest.raises(SpecError, match=rf"replaces the file or directory {old} .*replace -d {old}"):
        source.resolve(f"{tree}@HEAD")


def test_commits_of_a_folder_differ_by_what_is_in_it(larger: Path) -> None:
    """By paths as a build of the folder reads them, else its changes would pass for such that nothing reads."""
    for name in ("linux", "other"):
        edit(larger / "src" / name / "mm" / "vmscan.c", "one()", "1")
    commit(larger)
    assert Builder(larger / "src" / "linux").changes("HEAD~1", "HEAD") == [("M", "mm/vmscan.c")]
