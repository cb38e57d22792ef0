# SPDX-License-Identifier: GPL-2.0-only
"""Kernel sources of the Debian archive: the linux-source packages, each imported once into the git store."""

from __future__ import annotations

import datetime
import json
import re
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Final

from kfunctest import cache, files, proc
from kfunctest.errors import InfraError, SpecError
from kfunctest.kernels import apt
from kfunctest.kernels.debian import DEFAULT_SUITES, SERIES_SUITES
from kfunctest.kernels.gitstore import Store
from kfunctest.kernels.progress import Progress

_NAME: Final = re.compile(r"linux-source-(\d+)\.(\d+)")
#: Part of the record's key: raise it when a source comes out as another tree.
_FORMAT: Final = "source-1"
#: A release of Linux has so many files, give or take some thousand: for a bar that moves.
_FILES: Final = 95_000
#: What the store grows by, and what a package takes meanwhile, in bytes.
_NEEDED: Final = 800 << 20
#: Who made the commit that carries the tree, and when: the same file gives the same commit.
_COMMITTER: Final = b"kfunctest <kfunctest@localhost> 0 +0000"


@dataclass(frozen=True, slots=True)
class Imported:
    """A linux-source package in the store. ``resolved`` is YYYY-MM-DD, ``tree`` a git tree."""

    package: str
    version: str
    suite: str
    resolved: str
    tree: str

    @property
    def words(self) -> str:
        """Its provenance in words; not with the date, since they are in the keys of kernels."""
        return f"{self.package} {self.version}, Debian {self.suite}"


def fetch(spec: str, *, mirror: str | None, update: bool, progress: Progress, trust: str | None = None) -> Imported:
    """The source that ``debian`` or ``debian:SERIES`` means, imported where it was not before.

    ``update`` resolves it anew. ``trust`` is for archives that are not signed by Debian, as host tests make them.
    Raises SpecError when there is no such source, InfraError when it cannot be fetched.
    """
    series = _series(spec)
    record = _record(spec, mirror)
    if not update and (known := _recorded(record)):
        return known
    with cache.locked(f"resolve-{record.stem}"), cache.filling():
        if not update and (known := _recorded(record)):
            return known
        archive, package = _resolve(spec, series, mirror, trust, progress)
        tree = _imported(archive, package, progress)
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        found = Imported(package.name, package.version, archive.suite, today, tree)
        record.parent.mkdir(parents=True, exist_ok=True)
        files.write(record, json.dumps(asdict(found), indent=1))
        return found


def is_resolved(spec: str, mirror: str | None = None) -> bool:
    """Whether ``spec`` was resolved on this machine before."""
    return _recorded(_record(spec, mirror)) is not None


def _record(spec: str, mirror: str | None) -> Path:
    return cache.root() / "resolved" / f"{cache.digest(_FORMAT, spec, mirror or '')}.json"


def _series(spec: str) -> str | None:
    series = spec.partition(":")[2] if ":" in spec else None
    if series is not None and not re.fullmatch(r"\d+\.\d+", series):
        raise SpecError(f"there is no Debian source {spec!r}", remedy="write debian:7.2")
    return series


def _recorded(record: Path) -> Imported | None:
    try:
        found = Imported(**json.loads(record.read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return found if Store().has(found.tree) else None


def _resolve(
    spec: str, series: str | None, mirror: str | None, trust: str | None, progress: Progress
) -> tuple[apt.Archive, apt.Package]:
    best: tuple[apt.Archive, apt.Package] | None = None
    seen: set[tuple[int, int]] = set()
    absent: apt.NoSuchSuite | apt.StaleSuite | None = None
    for archive in apt.debian_archives(DEFAULT_SUITES if series is None else SERIES_SUITES, mirror, trust):
        try:
            archive.update(progress)
        except (apt.NoSuchSuite, apt.StaleSuite) as error:
            absent = absent if isinstance(absent, apt.StaleSuite) else error
            continue
        for package in archive.packages("linux-source-"):
            if match := _NAME.fullmatch(package.name):
                seen.add((int(match[1]), int(match[2])))
                fits = series is None or package.name == f"linux-source-{series}"
                if fits and (best is None or apt.is_later(package.version, best[1].version)):
                    best = archive, package
    if best is not None:
        return best
    if absent is not None and not seen:
        raise absent
    listed = ", ".join(f"debian:{major}.{minor}" for major, minor in sorted(seen)) or "none"
    raise SpecError(f"the Debian archive has no kernel source {spec!r}", remedy=f"it has {listed}")


def _imported(archive: apt.Archive, package: apt.Package, progress: Progress) -> str:
    """The tree of ``package``; downloaded and imported where the store lacks it."""
    store = Store()
    store.make()
    ref = f"refs/heads/{package.name}-{package.sha256[:16]}"
    done = store.git("rev-parse", "--quiet", "--verify", f"{ref}^{{tree}}", check=False)
    if done.status == 0:
        return done.stdout.strip()
    with cache.locked("import"), _scratch(store.folder.parent / "import") as folder:
        _check_space(folder, package)
        (deb,) = archive.download([package], folder, f"{package.name} {package.version}", progress)
        _fast_import(store, deb, ref, package.name, progress)
    return store.git("rev-parse", "--verify", f"{ref}^{{tree}}").stdout.strip()


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """An empty folder, removed at the end; whoever calls holds the lock, so what is there is a killed run's."""
    shutil.rmtree(folder, ignore_errors=True)
    for torn in Store().folder.glob("objects/pack/tmp_*"):
        torn.unlink(missing_ok=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _check_space(folder: Path, package: apt.Package) -> None:
    needed = package.size + _NEEDED
    free = shutil.disk_usage(folder).free
    if free < needed and package.size > 1 << 20:
        raise InfraError(
            f"the cache in {cache.root()} needs {needed >> 20} MB, its disk has {free >> 20} MB free",
            remedy=cache.SPACE_REMEDY,
        )


def _fast_import(store: Store, deb: Path, ref: str, what: str, progress: Progress) -> None:
    """Stream the one tar file in ``deb`` into the store, without unpacking it to disk.

    The importer is told that it has all only after every program before it ended well: until then nothing is in ref.
    """
    with ExitStack() as stack:
        said = stack.enter_context(tempfile.TemporaryFile())
        filters = _filters(stack, deb, said)
        importer = stack.enter_context(
            proc.spawn(
                # Without deltas the pack is as small here, in half the time: there is one version of each file.
                store.argv("fast-import", "--quiet", "--depth=0", "--done"),
                env=store.environment(),
                stdin=proc.PIPE,
                stderr=said.fileno(),
                guarded=True,
            )
        )
        report = stack.enter_context(progress.steps(f"importing {what}", _FILES, "files"))
        source = filters[-1].stdout
        assert source
        assert importer.stdin
        try:
            _send(source, importer.stdin, ref, report)
            while source.read(1 << 20):  # what follows the tar file's end
                pass
            statuses = [process.wait() for process in filters]
            if not any(statuses):
                _end(importer.stdin)
                statuses.append(importer.wait())
        except (tarfile.TarError, BrokenPipeError) as error:
            proc.kill_group(importer)
            raise _failed(what, said, str(error)) from error
        if any(statuses):
            proc.kill_group(importer)
            raise _failed(what, said, f"statuses {statuses}")


def _filters(stack: ExitStack, deb: Path, said: IO[bytes]) -> list[proc.Process]:
    """The programs that take the tar file out of ``deb``, each reading what the one before it writes."""
    started: list[proc.Process] = []
    for argv in (
        ["dpkg-deb", "--fsys-tarfile", str(deb)],
        ["tar", "-xOf", "-", "--wildcards", "*/linux-source-*.tar.xz"],
        ["xz", "-dc"],
    ):
        before = started[-1].stdout if started else None
        process = proc.spawn(
            [proc.need(argv[0]), *argv[1:]],
            stdin=before.fileno() if before else proc.DEVNULL,
            stdout=proc.PIPE,
            stderr=said.fileno(),
            guarded=True,
        )
        started.append(stack.enter_context(process))
        if before:
            before.close()  # so that its writer ends when its reader does
    return started


def _failed(what: str, said: IO[bytes], otherwise: str) -> InfraError:
    said.seek(0)
    text = said.read().decode(errors="replace").strip()
    if proc.out_of_space(text):
        return cache.no_space()
    return InfraError(f"{what} cannot be imported: {text.splitlines()[-1] if text else otherwise}", remedy="try again")


def _send(tar: IO[bytes], importer: IO[bytes], ref: str, report: Callable[[int], None]) -> None:
    """Write the files of the stream ``tar`` to ``importer`` as one commit at ``ref``, without the top folder.

    As git-fast-import(1) reads it.

    It is one only after :func:`_end`. ``report`` gets the number of files so far. Raises tarfile.TarError when the
    stream is none, and BrokenPipeError when the importer is gone.
    """
    importer.write(b"commit %s\ncommitter %s\ndata 0\n\n" % (ref.encode(), _COMMITTER))
    count = 0
    with tarfile.open(fileobj=tar, mode="r|", bufsize=1 << 20) as source:
        for member in source:
            path = member.name.removeprefix("./").partition("/")[2]
            if not path or not (member.isreg() or member.issym()):
                continue
            if member.issym():
                mode, data = b"120000", member.linkname.encode()
            else:
                content = source.extractfile(member)
                assert content
                mode, data = b"100755" if member.mode & 0o100 else b"100644", content.read()
            importer.write(b"M %s inline %s\ndata %d\n" % (mode, _quoted(path), len(data)))
            importer.write(data + b"\n")
            count += 1
            report(count)


def _end(importer: IO[bytes]) -> None:
    """Say that all was sent. Raises BrokenPipeError when the importer is gone."""
    importer.write(b"done\n")
    importer.close()


def _quoted(path: str) -> bytes:
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'.encode(errors="surrogateescape")
