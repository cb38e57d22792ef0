# SPDX-License-Identifier: GPL-2.0-only
"""Fixtures that several files of host tests use."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from kfunctest import proc
from tests import fakekernel, fakesource
from tests.fakearchive import Archive
from tests.pytest_result import Ended, Judge, written

CHECKOUT = Path(__file__).resolve().parents[1]


def pytest_configure() -> None:
    """Signals count in what tests start, also where we were to ignore them.

    A shell has what it starts in the background ignore SIGINT, and nohup SIGHUP, which only a handler keeps from us
    and not from programs that we start.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)
    for name in [name for name in os.environ if name.startswith("PYTEST_XDIST_")]:
        del os.environ[name]  # a pytest that a test starts is no worker of ours


@pytest.fixture
def judge(tmp_path: Path) -> Judge:
    """Run the suite in a pytest of its own, with a cache, a temporary folder and results of its own."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()

    def run(
        *words: str | Path,
        tests: str = "selftests/test_usage.py",
        env: Mapping[str, str] | None = None,
        wrapper: Sequence[str] = (),
        python: str | Path = sys.executable,
    ) -> Ended:
        argv = [*wrapper, python, "-m", "pytest", "-m", "kfunc", "-p", "no:cacheprovider", "--accel", "tcg"]
        argv += ["--results", tmp_path / "results", *words, tests]
        own = {"KFUNCTEST_CACHE": str(tmp_path / "cache"), "TMPDIR": str(temporary)}
        done = proc.run(argv, seconds=300, cwd=CHECKOUT, env={**own, **(env or {})}, check=False)
        left = [path for path in temporary.iterdir() if not path.name.startswith("pytest-of-")]
        assert left == [], "a temporary file is left"
        assert not list(tmp_path.rglob(".partial-*")), "something half-written is in the cache"
        return Ended(done.status, done.stderr + done.stdout)

    return run


@pytest.fixture
def cache_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test's own, for ccache too."""
    monkeypatch.setenv("KFUNCTEST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CCACHE_DIR", str(tmp_path / "ccache"))
    return tmp_path / "cache"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A kernel in a git tree, of one commit: "the base"."""
    tree = fakesource.write(tmp_path / "linux")
    fakesource.commit(tree, "the base")
    return tree


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A kernel that has all that is asked for, as far as it can be told without booting it."""
    return written(tmp_path / "vmlinuz", fakekernel.image(config=fakekernel.CONFIG))


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Archive]:
    """An archive with two kernels in trixie-backports, and a cache of this test's own."""
    monkeypatch.setenv("KFUNCTEST_CACHE", str(tmp_path / "cache"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    settings = tmp_path / "quick.conf"
    settings.write_text('Acquire::Retries "0";\n')  # apt waits seven seconds between its three retries
    monkeypatch.setenv("APT_CONFIG", str(settings))
    archive = Archive(tmp_path)
    archive.add("7.9.1+deb13-amd64", "7.9.1-1~bpo13+1")
    archive.add("7.10.2+deb13-amd64", "7.10.2-1~bpo13+1")
    yield archive
    archive.close()
