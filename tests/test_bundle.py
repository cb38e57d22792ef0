# SPDX-License-Identifier: GPL-2.0-only
"""The agent's bundle."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from kfunctest import proc
from kfunctest.machine import bundle


def test_the_bundle_holds_what_the_agent_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run by the interpreter that the guest gets: importing the agent's modules opens no module file."""
    monkeypatch.setenv("KFUNCTEST_CACHE", str(tmp_path))
    words = shlex.split(bundle.agent_script().partition(";")[0])
    python, bundled = words[0], words[-1]
    main = (bundle.GUEST / "main.py").read_text().partition("from kfunctest.guest import ")[0]
    script = tmp_path / "kfunctest" / "guest" / "main.py"
    script.parent.mkdir(parents=True)
    script.write_text(
        main
        + "import kfunctest.guest.log_markers, kfunctest.guest.bpf, kfunctest.guest.verdicts, execnet.gateway_base\n"
        "print({type(m.__spec__.loader).__name__ for n, m in sys.modules.items() if n.startswith('kfunctest')})"
    )
    done = proc.run([python, "-I", "-S", script, bundled], seconds=30)
    assert done.stdout.strip() == "{'Bundle'}", f"expected every module from the bundle, seen {done.stdout}"
    assert sys.version_info[:2] == tuple(map(int, proc.run([python, "-V"], seconds=9).stdout.split()[1].split(".")[:2]))
