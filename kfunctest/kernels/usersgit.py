# SPDX-License-Identifier: GPL-2.0-only
"""Questions to a git repository of the user's, which change nothing there."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Final

from kfunctest import proc
from kfunctest.errors import SpecError

_SECONDS: Final = 600.0


def ask(path: Path, *words: str) -> proc.Completed:
    """Run git in ``path``. It takes no lock there, fetches nothing, and starts nothing that its settings name."""
    plain = ["-c", "core.fsmonitor=false", "-c", "core.untrackedCache=false"]
    env: dict[str, str | None] = dict.fromkeys(
        ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_PREFIX")
    )
    # GIT_NO_LAZY_FETCH is known from git 2.45 on; with no protocol allowed an older one does not fetch either.
    env |= {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": "none"}
    return proc.run([proc.need("git"), *plain, "-C", path, *words], seconds=_SECONDS, env=env, check=False)


def require_files(path: Path, revision: str) -> None:
    """Raise SpecError where ``path`` is a partial clone (git clone --filter) that lacks files of ``revision``.

    A clone without such a remote is not looked at: that would take a second.
    """
    promised = ask(path, "config", "--get-regexp", r"^remote\..*\.promisor$")
    remotes = [line.partition(" ")[0].split(".", 1)[1].rpartition(".")[0] for line in promised.stdout.splitlines()]
    if not remotes:
        return
    words = ("rev-list", "--objects", "--missing=print", "--max-count=1")
    listed = ask(path, *words, "--end-of-options", revision)
    lacking = sum(line.startswith("?") for line in listed.stdout.splitlines())
    if lacking:
        git = ["git", "-C", str(path)]
        fetch = shlex.join([*git, "fetch", "--no-filter", "--stdin", remotes[0]])
        raise SpecError(
            f"the partial clone {path} lacks {lacking} files or folders of {revision!r}",
            remedy=f"fetch them: {shlex.join([*git, *words, revision])} | sed -n 's/^?//p' | {fetch}",
        )
