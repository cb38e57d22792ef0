# SPDX-License-Identifier: GPL-2.0-only
"""A run whose kernel, temporary directory, home and results all have names that shells and option strings trip over."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from kfunctest import cache, proc
from kfunctest.kernels import spec

CHECKOUT = Path(__file__).resolve().parents[1]
TEST = "selftests/test_usage.py::test_usage_equals_memory_current"
#: With the 120 that follow, longer than the name of a UNIX socket may be.
ODD = 'a b,c=d:%s it\'s "q" \\x $HOME `id` \xe9 #;&(*'


@pytest.mark.vm
def test_a_kernel_with_modules_is_judged_whatever_the_names(tmp_path: Path) -> None:
    """Debian's kernel needs modules to find its root, whose path the guest learns from the kernel's command line."""
    place = tmp_path / ODD / ("x" * 120)
    for name in ("tmp", "home", "results", "root"):
        (place / name).mkdir(parents=True)
    found = spec.resolve("debian")
    assert found.modules is not None
    (place / "root" / "lib").symlink_to(found.modules.parents[1])
    kernel = place / "root" / "lib" / "modules" / found.release
    env = {"TMPDIR": place / "tmp", "HOME": place / "home", "KFUNCTEST_CACHE": cache.root()}
    argv = [sys.executable, "-m", "pytest", "-m", "kfunc", f"--kernel={kernel}", f"--results={place / 'results'}", TEST]
    done = proc.run(argv, seconds=600, cwd=CHECKOUT, env={name: str(value) for name, value in env.items()}, check=False)
    assert done.status == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
    assert list((place / "tmp").iterdir()) == []
    assert (place / "results" / "latest" / "report.html").is_file()
