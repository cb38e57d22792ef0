# SPDX-License-Identifier: GPL-2.0-only
"""Kernels from a Debian archive: a small unsigned one on this machine, through the real apt and dpkg-deb."""

from __future__ import annotations

import io
import sys
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path

import pytest

from kfunctest import cache, proc
from kfunctest.errors import InfraError, KfunctestError, SpecError
from kfunctest.kernels import apt
from kfunctest.kernels.progress import Progress
from kfunctest.kernels.spec import resolve
from kfunctest.plugin import header
from kfunctest.wait import wait_until
from tests.building import needs
from tests.fakearchive import BACKPORTS, Archive, entries

pytestmark = needs("apt-get", "dpkg-deb", "depmod")

CHECKOUT = Path(__file__).resolve().parents[1]


def apt_processes() -> list[str]:
    """The processes that work with the apt configuration of this test's cache."""
    wanted = f"APT_CONFIG={cache.root()}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if wanted in path.read_bytes():
                found.append(path.parent.name)
    return found


def test_the_newest_is_found_fetched_and_kept_lean(archive: Archive) -> None:
    fetched = archive.fetch()
    assert fetched.release == "7.10.2+deb13-amd64"
    assert f"Debian {BACKPORTS} 7.10.2-1~bpo13+1, resolved 20" in fetched.origin
    files = {p.relative_to(fetched.modules).as_posix() for p in fetched.modules.rglob("*") if p.is_file()}
    assert {"vmlinuz", "config", "modules.dep", "kernel/fs/9p.ko"} <= files
    assert "kernel/gpu/huge.ko" not in files
    top = cache.root() / "kernels" / fetched.entry
    assert [path.name for path in top.iterdir()] == ["lib"]


def test_update_resolves_anew(archive: Archive) -> None:
    archive.fetch()
    archive.add("7.11.1+deb13-amd64", "7.11.1-1~bpo13+1")
    assert archive.fetch(update=True).release == "7.11.1+deb13-amd64"
    assert archive.fetch().release == "7.11.1+deb13-amd64"


def test_an_update_that_finds_nothing_new_downloads_nothing(archive: Archive) -> None:
    archive.fetch()
    asked = archive.fetched_packages()
    assert archive.fetch(update=True).release == "7.10.2+deb13-amd64"
    assert archive.fetched_packages() == asked


def test_a_deleted_entry_is_fetched_again(archive: Archive) -> None:
    fetched = archive.fetch()
    proc.run(["rm", "-r", cache.root() / "kernels" / fetched.entry], seconds=30)
    assert archive.fetch().modules.is_dir()


def test_other_flavours_are_not_kernels(archive: Archive) -> None:
    for name in ("cloud-amd64", "rt-amd64", "amd64-dbg", "amd64-unsigned"):
        archive.add(f"7.12.1+deb13-{name}", "7.12.1-1")
    assert archive.fetch().release == "7.10.2+deb13-amd64"


def test_a_kernel_whose_modules_are_gone_is_passed_over(archive: Archive) -> None:
    archive.add("7.12.1+deb13-amd64", "7.12.1-1", whole=False)
    assert archive.fetch().release == "7.10.2+deb13-amd64"
    with pytest.raises(SpecError, match=r"no kernel 'debian:7\.12'"):
        archive.fetch("debian:7.12")


def test_sid_is_asked_where_backports_has_none_with_the_kfuncs(tmp_path: Path, archive: Archive) -> None:
    other = Archive(tmp_path / "other")
    try:
        other.add_old("6.12.9+deb13-amd64", "6.12.9-1~bpo13+1", BACKPORTS)
        other.add("7.8.1+deb14-amd64", "7.8.1-1", "sid")
        assert other.fetch().suite == "sid"
    finally:
        other.close()


def test_a_series_is_looked_for_in_every_suite(archive: Archive) -> None:
    archive.add_old("6.12.9+deb13-amd64", "6.12.9-1", "trixie")
    archive.add_old("6.12.10+deb13-amd64", "6.12.10-1", "trixie")
    old = archive.fetch("debian:6.12")
    assert (old.release, old.suite) == ("6.12.10+deb13-amd64", "trixie")
    assert (old.modules / "vmlinuz").is_file()
    assert (old.modules / "config").is_file()
    assert archive.fetch("debian:7.9").release == "7.9.1+deb13-amd64"
    with pytest.raises(SpecError, match=r"'debian:7\.1'.* debian:6\.12, debian:7\.9, debian:7\.10"):
        archive.fetch("debian:7.1")


@pytest.mark.parametrize("spec", ["debian:", "debian:new", "debian:7", "debian:7.2 "])
def test_a_malformed_series(spec: str) -> None:
    with pytest.raises(SpecError, match=r"write debian or debian:7\.2"):
        resolve(spec)


def test_a_download_killed_in_the_middle_never_looks_finished(archive: Archive) -> None:
    archive.stall = True
    script = (
        "from kfunctest.kernels import debian; from kfunctest.kernels.progress import Progress\n"
        f"debian.fetch('debian', mirror={archive.mirror!r}, update=False, progress=Progress(), trust='trusted=yes')"
    )
    with proc.spawn([sys.executable, "-c", script], cwd=CHECKOUT) as process:
        wait_until(archive.fetched_packages, seconds=60, what="the download to begin")
        assert apt_processes()
        process.kill()
        process.wait()
        wait_until(lambda: not apt_processes(), seconds=10, what="apt-get and its methods to be gone")
    assert [name for name in entries() if not name.startswith(".partial-")] == []
    archive.stall = False
    archive.released.set()
    fetched = archive.fetch()
    assert entries() == [fetched.entry]


def test_two_runs_at_once_download_once(archive: Archive) -> None:
    with ThreadPoolExecutor() as pool:
        first, second = pool.map(lambda _number: archive.fetch(), range(2))
    assert first == second
    assert len(archive.fetched_packages()) == len(set(archive.fetched_packages())) == 3


def test_two_runs_at_once_with_different_specs_share_what_apt_keeps(archive: Archive) -> None:
    specs = ["debian:7.10", "debian:7.9"] * 2
    for _ in range(3):
        with ThreadPoolExecutor() as pool:
            found = list(pool.map(lambda spec: archive.fetch(spec, update=True), specs))
        assert [fetched.release for fetched in found] == ["7.10.2+deb13-amd64", "7.9.1+deb13-amd64"] * 2


def test_a_run_that_needs_nothing_does_not_wait_for_one_that_resolves_anew(archive: Archive) -> None:
    first = archive.fetch()
    (lock,) = (cache.root() / "locks").glob("resolve-*.lock")
    with cache.locked(lock.stem), ThreadPoolExecutor() as pool:
        running = pool.submit(archive.fetch)
        finished, _ = wait([running], timeout=20)
    assert finished, "it waited for the lock"
    assert running.result() == first


def test_a_machine_without_apt_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch, archive: Archive) -> None:
    monkeypatch.setattr(proc, "find", lambda _tool: None)
    with pytest.raises(InfraError, match="install apt and dpkg and pass --debian-mirror URL, or pass --kernel PATH"):
        archive.fetch()


def test_the_machines_mirror_is_debians_main_archive(monkeypatch: pytest.MonkeyPatch) -> None:
    def sources(*lines: str) -> str | KfunctestError:
        done = proc.Completed((), 0, "\n".join(lines), "")
        monkeypatch.setattr(proc, "run", lambda *_args, **_keywords: done)
        try:
            return apt.machine_mirror()
        except InfraError as error:
            return error

    debian_fetched = "http://mirror.example/debian/ bookworm main Debian"
    assert sources(debian_fetched) == "http://mirror.example/debian"
    assert sources("http://third.example/apt/ bookworm main Third Party", debian_fetched) == (
        "http://mirror.example/debian"
    )
    assert sources("mirror+file:/etc/apt/mirrors/debian.list/ trixie main Debian") == (
        "mirror+file:/etc/apt/mirrors/debian.list"
    )
    not_fetched = "http://mirror.example/debian/ bookworm main $(ORIGIN)"
    assert sources("http://third.example/deb/ stable main $(ORIGIN)", not_fetched) == "http://mirror.example/debian"
    elsewhere = "http://third.example/deb/ stable main $(ORIGIN)"
    assert sources("http://mirror.example/d/ trixie main $(ORIGIN)") == "http://mirror.example/d"
    assert "pass --debian-mirror" in str(sources("http://mirror.example/d/ trixie main $(ORIGIN)", elsewhere))
    ubuntu = sources("http://archive.example/ubuntu/ noble main Ubuntu")
    assert "no Debian mirror; pass --debian-mirror URL" in str(ubuntu)
    assert "pass --debian-mirror" in str(sources())
    assert "pass --debian-mirror" in str(sources("http://third.example/apt/debian/ bookworm main Third Party"))


@pytest.mark.network
def test_the_real_archive_has_a_default_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KFUNCTEST_CACHE", str(tmp_path / "cache"))
    kernel = resolve("debian", progress=Progress(io.StringIO()))
    assert kernel.facts.kfuncs
    assert not header.untested(kernel, ()), "a kfunc or an enumerator that the suite must learn"
    assert kernel.modules is not None
