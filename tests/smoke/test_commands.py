# SPDX-License-Identifier: GPL-2.0-only
"""Every subcommand of every script, run as a user would, with real builds and VMs: ``tox -e smoke``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from kfunctest import proc
from tests.history import linux
from tests.smoke.commands import COMMANDS

pytestmark = pytest.mark.smoke

CHECKOUT = Path(__file__).resolve().parents[2]
#: Seconds: "bench build" builds a kernel twice from nothing.
SECONDS = 3 * 3600.0


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """What the commands may name: a history whose fourth commit is bad and checked out, and its patches."""
    folder = tmp_path_factory.mktemp("smoke")
    of = linux.made("small")
    tree, patch = folder / "linux", folder / "series.mbox"
    clone = ("clone", "--quiet", "--shared", "--no-checkout", "--branch", of.branch)
    proc.run([proc.need("git"), *clone, of.tree, tree], seconds=300)
    git: list[str | Path] = [proc.need("git"), "-C", tree]
    proc.run([*git, "update-ref", "--no-deref", "HEAD", f"{of.branch}~2"], seconds=60)
    mails = proc.run([*git, "format-patch", "--stdout", f"{of.base}..{of.branch}~2"], seconds=60).stdout
    patch.write_text(mails)
    return {"tree": str(tree), "good": of.base, "bad": f"origin/{of.branch}", "patch": str(patch)}


@pytest.mark.parametrize("name", COMMANDS)
def test_it_works(name: str, places: Mapping[str, str], tmp_path: Path) -> None:
    command = COMMANDS[name]
    script, *subcommand = name.split()
    words = command.words.format(results=tmp_path / "results", **places).split()
    argv: list[str | Path] = [CHECKOUT / "scripts" / script, *subcommand, *words]
    done = proc.run(argv, seconds=SECONDS, cwd=CHECKOUT, env={"GITHUB_ACTIONS": None, "GITLAB_CI": None}, check=False)
    said = done.stdout + done.stderr
    assert done.status == command.status, said
    assert command.says in said
