# SPDX-License-Identifier: GPL-2.0-only
"""What can go wrong on the way from a Debian archive into the cache: one line each, and nothing left behind."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import pytest

from kfunctest import proc
from kfunctest.errors import InfraError, NoSpace, SpecError
from kfunctest.kernels import apt, debian
from kfunctest.kernels.progress import Progress
from kfunctest.kernels.spec import resolve
from tests.building import needs
from tests.fakearchive import BACKPORTS, Archive, entries

pytestmark = needs("apt-get", "dpkg-deb", "depmod")


def test_the_second_run_asks_no_network_and_keeps_the_date(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    first = archive.fetch()
    archive.add("7.11.1+deb13-amd64", "7.11.1-1~bpo13+1")
    asked = len(archive.requests)
    monkeypatch.setattr(proc, "run", lambda *_args, **_keywords: pytest.fail("a program was started"))
    assert archive.fetch() == first
    assert len(archive.requests) == asked


def test_a_corrupt_download_leaves_nothing_and_the_next_run_mends_it(archive: Archive) -> None:
    archive.corrupt = True
    with pytest.raises(InfraError, match="corrupt"):
        archive.fetch()
    assert entries() == []
    archive.corrupt = False
    assert archive.fetch().modules.is_dir()


def test_no_space_is_said_before_the_download(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(archive.folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=10 << 20))
    with pytest.raises(InfraError, match=r"needs \d+ MB, its disk has 10 MB free; .*KFUNCTEST_CACHE"):
        archive.fetch()
    assert archive.fetched_packages() == []
    assert entries() == []


def test_an_unsigned_archive_is_refused_whatever_the_machine_allows(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    careless = tmp_path / "careless.conf"
    careless.write_text('Acquire::AllowInsecureRepositories "true";\nAPT::Get::AllowUnauthenticated "true";\n')
    monkeypatch.setenv("APT_CONFIG", str(careless))
    keyring = tmp_path / "keyring.gpg"
    keyring.write_bytes(b"")
    with pytest.raises(InfraError, match=r"signature of trixie-backports .*not valid"):
        archive.fetch(trust=f"signed-by={keyring}")
    assert archive.fetched_packages() == []


def test_the_way_to_the_network_is_inherited(archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = tmp_path / "apt.conf"
    settings.write_text('Acquire::http::Proxy "http://127.0.0.1:9/";\nAcquire::Retries "0";\n')
    monkeypatch.setenv("APT_CONFIG", str(settings))
    monkeypatch.delenv("no_proxy")
    with pytest.raises(InfraError, match=r"cannot be reached.*127\.0\.0\.1:9.*--debian-mirror"):
        archive.fetch()
    assert archive.requests == []


def test_no_network_on_a_first_run_is_one_line(archive: Archive) -> None:
    archive.close()
    with pytest.raises(InfraError, match=r"cannot be reached.*--kernel PATH") as caught:
        archive.fetch()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("status", [403, 500, 503])
def test_a_mirror_that_refuses_is_not_called_badly_signed(archive: Archive, tmp_path: Path, status: int) -> None:
    keyring = tmp_path / "keyring.gpg"
    keyring.write_bytes(b"")
    archive.refusal = status
    with pytest.raises(
        InfraError, match=rf"cannot be reached: the answer is {status} \w.* for \S+InRelease; .*--kernel"
    ):
        archive.fetch(trust=f"signed-by={keyring}")


@pytest.mark.parametrize("tool", ["dpkg-deb", "depmod"])
@pytest.mark.parametrize("says", ["cannot write: No space left on device", "cannot write: Disk quota exceeded"])
def test_a_disk_that_a_program_fills_is_one_line(
    archive: Archive, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tool: str, says: str
) -> None:
    failing = tmp_path / tool
    failing.write_text(f"#!/bin/sh\necho '{tool}: {says}' >&2; echo 'gave up' >&2; exit 2\n")
    failing.chmod(0o755)
    monkeypatch.setattr(proc, "need", lambda name, need=proc.need: str(failing) if name == tool else need(name))
    with pytest.raises(NoSpace, match=r"no space left for the cache in \S+; free some"):
        archive.fetch()
    assert entries() == []


def test_a_mirror_that_is_not_debians(archive: Archive) -> None:
    with pytest.raises(SpecError, match="has no suite"):
        debian.fetch(
            "debian",
            mirror=f"{archive.mirror}/elsewhere",
            update=False,
            progress=Progress(io.StringIO()),
            trust="trusted=yes",
        )
    with pytest.raises(SpecError, match="is no URL"):
        resolve("debian", mirror="example")


def test_a_suite_whose_signature_has_run_out_is_not_called_missing(archive: Archive, tmp_path: Path) -> None:
    archive.add("7.3.4+deb13-amd64", "7.3.4-1")
    release = archive.folder / "dists" / BACKPORTS / "Release"
    valid = apt._inherited
    release.write_text(f"{release.read_text()}Valid-Until: Mon, 01 Jan 2024 00:00:00 UTC\n")
    with pytest.MonkeyPatch.context() as patch:
        # Machines with an old mirror tell their apt not to look at dates, and we would inherit it.
        patch.setattr(apt, "_inherited", lambda: [line for line in valid() if "Check-" not in line])
        with pytest.raises(InfraError, match=r"of another time \(invalid since .*clock"):
            archive.fetch("debian:7.3")
