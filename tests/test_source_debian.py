# SPDX-License-Identifier: GPL-2.0-only
"""SOURCE ``debian:SERIES``: linux-source packages of a small archive on this machine, into the git store."""

from __future__ import annotations

import io
import lzma
import shutil
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kfunctest import cache, proc
from kfunctest.errors import InfraError, SpecError
from kfunctest.kernels import source
from kfunctest.kernels.gitstore import Store
from kfunctest.wait import wait_until
from tests import fakesource
from tests.building import needs
from tests.fakearchive import Archive

pytestmark = needs("apt-get", "dpkg-deb", "git", "xz")
CHECKOUT = Path(__file__).resolve().parents[1]
FILES = {name: text.encode() for name, text in fakesource.FILES.items()}


def test_the_tree_is_the_one_that_git_would_make(archive: Archive, tmp_path: Path) -> None:
    """With a program, a link, an empty file, one without a last newline, and odd names."""
    odd: dict[str, bytes | str] = {"scripts/run*": b"#!/bin/sh\n", "link": "scripts/run", "empty": b"", "torn": b"\0x"}
    odd |= {'odd "name"': b"", "gr\u00f6\u00dfe": b"1", ".gitignore": b"*.o\n"}
    archive.add_source("7.9", "7.9.1-1", {**FILES, **odd})
    found = archive.fetch_source("debian:7.9")
    folder = fakesource.write(tmp_path / "linux")
    (folder / "image").unlink()
    for name, content in odd.items():
        path = folder / name.removesuffix("*")
        path.parent.mkdir(exist_ok=True)
        path.symlink_to(content) if isinstance(content, str) else path.write_bytes(content)
    (folder / "scripts" / "run").chmod(0o755)
    fakesource.commit(folder)
    assert found.tree == fakesource.git(folder, "rev-parse", "HEAD^{tree}")
    assert found.words == "linux-source-7.9 7.9.1-1, Debian trixie-backports"
    assert not (Store().folder.parent / "import").exists()


def test_the_newest_of_all_suites_is_taken_once(archive: Archive) -> None:
    archive.add_source("7.9", "7.9.1-1~bpo13+1", FILES)
    archive.add_source("7.9", "7.9.1-1", {**FILES, "new": b""}, "sid")
    archive.add_source("6.12", "6.12.9-1", FILES, "trixie")
    found = archive.fetch_source("debian:7.9")
    assert (found.suite, found.version) == ("sid", "7.9.1-1")
    asked = len(archive.requests)
    assert archive.fetch_source("debian:7.9") == found
    assert len(archive.requests) == asked
    assert archive.fetch_source("debian:6.12").suite == "trixie"


def test_update_resolves_anew_and_fetches_what_is_new(archive: Archive) -> None:
    archive.add_source("7.9", "7.9.1-1", FILES)
    old = archive.fetch_source("debian:7.9")
    assert archive.fetch_source("debian:7.9", update=True).tree == old.tree
    assert len(archive.fetched_packages()) == 1
    archive.add_source("7.9", "7.9.2-1", {**FILES, "new": b""})
    assert archive.fetch_source("debian:7.9").version == "7.9.1-1"
    new = archive.fetch_source("debian:7.9", update=True)
    assert new.version == "7.9.2-1"
    assert new.tree != old.tree


def test_a_store_that_was_deleted_is_filled_again(archive: Archive) -> None:
    archive.add_source("7.9", "7.9.1-1", FILES)
    first = archive.fetch_source("debian:7.9")
    shutil.rmtree(Store().folder)
    assert archive.fetch_source("debian:7.9") == first
    assert Store().text(first.tree, "Kconfig") == fakesource.FILES["Kconfig"]


def test_what_the_archive_does_not_have(archive: Archive) -> None:
    archive.add_source("7.9", "7.9.1-1", FILES)
    archive.add_source("6.12", "6.12.9-1", FILES, "trixie")
    with pytest.raises(SpecError, match=r"no kernel source 'debian:7\.1'; it has debian:6\.12, debian:7\.9"):
        archive.fetch_source("debian:7.1")
    for spec in ("debian:", "debian:new", "debian:7"):
        with pytest.raises(SpecError, match=r"there is no Debian source .*; write debian:7\.2"):
            source.resolve(spec)


def test_a_package_that_holds_no_source(archive: Archive) -> None:
    archive.add("7.9.1", "7.9.1-1")
    archive._package("sid", "linux-source-7.9", "7.9.1-1", {"usr/src/readme": b""})
    with pytest.raises(InfraError, match=r"linux-source-7\.9 cannot be imported: "):
        archive.fetch_source("debian:7.9")


def test_a_damaged_source(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fakesource.FILES
    archive.add_source("7.9", "7.9.1-1", {name: text.encode() for name, text in whole.items()})
    broken = b"\xfd7zXZ\0" + bytes(1000)
    archive._package("sid", "linux-source-7.9", "7.9.2-1", {"usr/src/linux-source-7.9.tar.xz": broken})
    with pytest.raises(InfraError, match=r"linux-source-7\.9 cannot be imported: "):
        archive.fetch_source("debian:7.9")
    assert not (Store().folder.parent / "import").exists()


def test_a_source_that_ends_too_early_is_not_taken(archive: Archive) -> None:
    """What is there of it looks whole: its tar file ends between two files, and xz gives all that it has."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name in ("Makefile", "Kconfig"):
            member = tarfile.TarInfo(f"linux-source-7.9/{name}")
            member.size = len(FILES[name])
            tar.addfile(member, io.BytesIO(FILES[name]))
        whole = buffer.getvalue()[: tar.offset]
    torn = lzma.compress(whole)[:-12]  # without the stream's footer
    archive._package("sid", "linux-source-7.9", "7.9.1-1", {"usr/src/linux-source-7.9.tar.xz": torn})
    for _ in range(2):
        with pytest.raises(InfraError, match=r"linux-source-7\.9 cannot be imported: .*: Unexpected end of input; "):
            archive.fetch_source("debian:7.9")
        assert Store().git("for-each-ref").stdout == ""
    assert not list((cache.root() / "resolved").glob("*"))


def test_an_import_killed_in_the_middle_is_made_again(archive: Archive) -> None:
    archive.add_source("7.9", "7.9.1-1", FILES)
    archive.stall = True
    script = (
        "from kfunctest.kernels import debian_source; from kfunctest.kernels.progress import Progress\n"
        f"debian_source.fetch('debian:7.9', mirror={archive.mirror!r}, update=False, progress=Progress(), "
        "trust='trusted=yes')"
    )
    with proc.spawn([sys.executable, "-c", script], cwd=CHECKOUT) as process:
        wait_until(archive.fetched_packages, seconds=60, what="the download to begin")
        process.kill()
        process.wait()
    archive.stall = False
    archive.released.set()
    (Store().folder / "objects" / "pack").mkdir(parents=True, exist_ok=True)
    torn = Store().folder / "objects" / "pack" / "tmp_pack_x"
    torn.touch()
    found = archive.fetch_source("debian:7.9")
    assert Store().has(found.tree)
    assert not torn.exists()
    assert not (cache.root() / "trees" / "import").exists()


def test_two_at_once_import_once(archive: Archive) -> None:
    archive.add_source("7.9", "7.9.1-1", FILES)
    with ThreadPoolExecutor() as pool:
        first, second = pool.map(lambda _number: archive.fetch_source("debian:7.9"), range(2))
    assert first == second
    assert len(archive.fetched_packages()) == 1
