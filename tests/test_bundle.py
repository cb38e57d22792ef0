# SPDX-License-Identifier: GPL-2.0-only
"""The agent's bundle, and the places that a guest can see."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from kfunctest import proc
from kfunctest.errors import InfraError
from kfunctest.target import bundle


@pytest.mark.parametrize("path", ["/a b/vmlinuz", "/a$(b)/vmlinuz", "/a'b/vmlinuz", "/a:b/vmlinuz", "/a;b/vmlinuz"])
def test_a_path_that_a_shell_would_take_apart_is_refused(path: str) -> None:
    with pytest.raises(InfraError, match="takes no such characters"):
        bundle.must_be_visible("the kernel", Path(path))


@pytest.mark.parametrize("folder", ["/dev/shm", "/run/user/0", "/var/tmp"])
def test_a_place_that_the_guest_does_not_see_is_refused(folder: str) -> None:
    with pytest.raises(InfraError, match="a guest sees nothing below"):
        bundle.must_be_visible("the kernel", Path(folder, "bzImage"))


def test_a_link_into_a_hidden_place_is_seen_through(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/dev/shm")
    with pytest.raises(InfraError, match="a guest sees nothing below /dev"):
        bundle.must_be_visible("the cache", tmp_path / "link" / "cache")


def test_ordinary_places_are_taken() -> None:
    bundle.must_be_visible("the kernel", Path("/home/me/linux-7.3~rc1/arch/x86/boot/bzImage"))


def test_the_bundle_holds_what_the_agent_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run by the interpreter that the guest gets: importing the agent's modules opens no module file."""
    monkeypatch.setenv("KFUNCTEST_CACHE", str(tmp_path))
    words = bundle.agent_command().partition(";")[0].split()
    python, bundled = words[0], words[-1]
    main = (bundle.GUEST / "main.py").read_text().partition("from kfunctest.guest import ")[0]
    script = tmp_path / "kfunctest" / "guest" / "main.py"
    script.parent.mkdir(parents=True)
    script.write_text(
        main + "import kfunctest.guest.names, kfunctest.guest.bpf, kfunctest.guest.verdicts, execnet.gateway_base\n"
        "print({type(m.__spec__.loader).__name__ for n, m in sys.modules.items() if n.startswith('kfunctest')})"
    )
    done = proc.run([python, "-I", "-S", script, bundled], seconds=30)
    assert done.stdout.strip() == "{'Bundle'}", f"expected every module from the bundle, seen {done.stdout}"
    assert sys.version_info[:2] == tuple(map(int, proc.run([python, "-V"], seconds=9).stdout.split()[1].split(".")[:2]))
