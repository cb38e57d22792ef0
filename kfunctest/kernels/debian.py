# SPDX-License-Identifier: GPL-2.0-only
"""Kernels of the Debian archive: which one a spec means, and a folder in the cache that boots."""

from __future__ import annotations

import datetime
import json
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from kfunctest import cache, files, proc
from kfunctest.errors import InfraError, SpecError
from kfunctest.kernels import apt, prune_modules
from kfunctest.kernels.progress import Progress

#: Where the newest kernels are, in the order in which the default kernel is looked for.
DEFAULT_SUITES: Final = ("trixie-backports", "sid")
#: Where a series is looked for: the above, and the stable release for 6.12.
SERIES_SUITES: Final = (*DEFAULT_SUITES, "trixie")

#: The kfuncs were merged for 7.0: no older kernel is downloaded as the default. What is downloaded is then judged
#: by its BTF; one that lost the kfuncs is a finding, so no older one is taken in its place.
_FIRST_WITH_KFUNCS: Final = (7, 0)

#: Neither cloud nor rt, which are in the place of the ABI's number; neither -dbg nor -unsigned, which follow.
_IMAGE: Final = re.compile(r"linux-image-(\d[\w.+~]*(?:-rc\d+)?(?:-\d+)?-amd64)")
#: Part of the cache's key: raise it when an entry's layout changes. What is kept of a kernel is part of the key anyway.
_FORMAT: Final = "debian-1"
#: What is kept of a kernel, in bytes, generously.
_KEPT_SIZE: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Fetched:
    """A kernel in the cache, with its provenance. ``resolved`` is YYYY-MM-DD."""

    release: str
    version: str
    suite: str
    resolved: str
    entry: str

    @property
    def modules(self) -> Path:
        """The folder that holds the modules, the image as ``vmlinuz`` and the configuration as ``config``."""
        return cache.root() / "kernels" / self.entry / "lib" / "modules" / self.release

    @property
    def origin(self) -> str:
        """Its provenance in words."""
        return f"Debian {self.suite} {self.version}, resolved {self.resolved}"


@dataclass(frozen=True, slots=True)
class _Candidate:
    archive: apt.Archive
    release: str
    version: str
    #: The packages that hold the image, the modules and the configuration.
    parts: tuple[apt.Package, ...]


def fetch(spec: str, *, mirror: str | None, update: bool, progress: Progress, trust: str | None = None) -> Fetched:
    """The kernel that ``debian`` or ``debian:SERIES`` means, from the cache where it was resolved before.

    ``update`` resolves it anew. ``trust`` is for archives that are not signed by Debian, as host tests make them.
    Raises SpecError when there is no such kernel, InfraError when it cannot be fetched.
    """
    series = series_of(spec)
    key = cache.digest(_FORMAT, spec, mirror or "", json.dumps(prune_modules.KEPT))
    record = cache.root() / "resolved" / f"{key}.json"
    # First without the lock: a run that needs nothing does not wait for one that resolves anew.
    if not update and (known := _recorded(record)):
        return known
    with cache.locked(f"resolve-{key}"):
        if not update and (known := _recorded(record)):
            return known
        candidate = _resolve(spec, series, mirror, trust, progress)
        fetched = _unpacked(candidate, progress)
        _record(record, fetched)
        return fetched


def series_of(spec: str) -> str | None:
    """The SERIES of ``debian:SERIES``, None for ``debian``. Raises SpecError where it is none."""
    series = spec.partition(":")[2] if ":" in spec else None
    if series is not None and not re.fullmatch(r"\d+\.\d+(\.\d+)?", series):
        raise SpecError(f"there is no Debian kernel {spec!r}", remedy="write debian or debian:7.2")
    return series


def _recorded(record: Path) -> Fetched | None:
    try:
        fetched = Fetched(**json.loads(record.read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return fetched if fetched.modules.is_dir() else None


def _record(record: Path, fetched: Fetched) -> None:
    with cache.space_guard():
        record.parent.mkdir(parents=True, exist_ok=True)
        files.write(record, json.dumps(asdict(fetched), indent=1))


def _resolve(spec: str, series: str | None, mirror: str | None, trust: str | None, progress: Progress) -> _Candidate:
    found: list[_Candidate] = []
    archives = apt.debian_archives(DEFAULT_SUITES if series is None else SERIES_SUITES, mirror, trust)
    absent: apt.NoSuchSuite | apt.StaleSuite | None = None
    for archive in archives:
        try:
            archive.update(progress)
        except (apt.NoSuchSuite, apt.StaleSuite) as error:
            absent = absent if isinstance(absent, apt.StaleSuite) else error
            continue
        found += candidates(archive)
        if series is None and any(_fits(candidate.release, series) for candidate in found):
            break
    fitting = [candidate for candidate in found if _fits(candidate.release, series)]
    if fitting:
        return _newest(fitting)
    if absent is not None and not found:
        raise absent
    raise SpecError(f"the Debian archive has no kernel {spec!r}", remedy=f"it has {_listed(found)}")


def candidates(archive: apt.Archive) -> list[_Candidate]:
    """The kernels of a suite that are whole: the archive keeps some whose modules are gone already."""
    packages = {(package.name, package.version): package for package in archive.packages("linux-")}
    found = []
    for (name, version), package in packages.items():
        match = _IMAGE.fullmatch(name)
        if match:
            release = match[1]
            # Since 6.19 linux-image is empty and depends on what it used to hold: the image in linux-binary-RELEASE,
            # the configuration and modules.builtin in linux-base-RELEASE, the modules in linux-modules-RELEASE.
            wanted = re.findall(rf"\blinux-\w+-{re.escape(release)}(?![\w.+~-])", package.depends)
            parts = [packages.get((part, version)) for part in wanted] if wanted else [package]
            whole = tuple(part for part in parts if part is not None)
            if len(whole) == len(parts):
                found.append(_Candidate(archive, release, version, whole))
    return found


def _fits(release: str, series: str | None) -> bool:
    if series is None:
        return _numbers(release) >= _FIRST_WITH_KFUNCS
    return re.match(rf"{re.escape(series)}(?!\d)", release) is not None


def _numbers(release: str) -> tuple[int, ...]:
    return tuple(int(number) for number in release.split("-")[0].split("+")[0].split(".")[:2] if number.isdigit())


def _newest(found: Sequence[_Candidate]) -> _Candidate:
    best = found[0]
    for candidate in found[1:]:
        if apt.is_later(candidate.version, best.version):
            best = candidate
    return best


def _listed(found: Iterable[_Candidate]) -> str:
    series = sorted({_numbers(candidate.release) for candidate in found})
    return ", ".join("debian:" + ".".join(map(str, numbers)) for numbers in series) or "none that is whole"


def _unpacked(candidate: _Candidate, progress: Progress) -> Fetched:
    """Download and unpack what is not in the cache already, keeping what booting needs."""
    hashes = [part.sha256 for part in candidate.parts]
    entry = f"{candidate.release}-{cache.digest(_FORMAT, json.dumps(prune_modules.KEPT), *hashes)[:8]}"

    def make(folder: Path) -> None:
        _check_space(folder, sum(part.size for part in candidate.parts))
        scratch = folder / "scratch"
        what = f"Linux {candidate.release}"
        for package in candidate.archive.download(candidate.parts, scratch / "packages", what, progress):
            proc.run([proc.need("dpkg-deb"), "-x", package, scratch / "unpacked"], seconds=600, env={"LC_ALL": "C"})
        _keep(scratch / "unpacked", folder, candidate.release)
        shutil.rmtree(scratch)

    cache.entry("kernels", entry, make)
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return Fetched(candidate.release, candidate.version, candidate.archive.suite, today, entry)


def _check_space(folder: Path, packages: int) -> None:
    """Refuse before the download what would fail after it: there are the packages, their content, and what is kept."""
    needed = 2 * packages + _KEPT_SIZE
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InfraError(
            f"the cache in {cache.root()} needs {needed >> 20} MB, its disk has {free >> 20} MB free",
            remedy=cache.SPACE_REMEDY,
        )


def _keep(unpacked: Path, folder: Path, release: str) -> None:
    """Bring both layouts that Debian has had into one: image and configuration beside the modules."""
    sources = [unpacked / name / "modules" / release for name in ("usr/lib", "lib")]
    source = next((path for path in sources if path.is_dir()), None)
    if source is None:
        raise InfraError(f"Debian's packages of {release} have no modules folder", remedy="pass --kernel PATH")
    target = prune_modules.prune(source, folder, release)
    for name, old in (("vmlinuz", f"vmlinuz-{release}"), ("config", f"config-{release}")):
        if not (target / name).exists() and (unpacked / "boot" / old).is_file():
            shutil.copyfile(unpacked / "boot" / old, target / name)
        if not (target / name).exists():
            raise InfraError(f"Debian's packages of {release} hold no {name}", remedy="pass --kernel PATH")
