# SPDX-License-Identifier: GPL-2.0-only
"""Packages of a Debian archive, through apt with a configuration, lists and a cache of our own.

The machine's own apt is only asked which mirror and which proxy it uses; nothing of it is changed, no root is needed.
Signatures are always checked, whatever the machine's configuration allows.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kfunctest import cache, proc
from kfunctest.errors import InfraError, SpecError
from kfunctest.kernels.progress import Progress

#: Where Debian and its derivatives install the archive's keys (package debian-archive-keyring).
KEYRINGS: Final = (
    Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
    Path("/usr/share/keyrings/debian-archive-keyring.pgp"),
)
#: Suites of the main archive, by which the machine's own sources are recognised as Debian's.
_DEBIAN_SUITES: Final = frozenset(
    {"bullseye", "bookworm", "trixie", "forky", "duke", "sid"}
    | {"oldoldstable", "oldstable", "stable", "testing", "unstable"}
)
#: What is taken over from the machine's configuration: how to reach the network, never what to trust.
_INHERITED: Final = re.compile(
    r"Acquire::(?:http|https|ftp|socks|Retries|ForceIPv[46]|Check-Valid-Until|Check-Date|Max-FutureTime)\b.*"
)
#: A download that has not moved for so many seconds is given up. apt itself retries on shorter pauses.
_STALLED: Final = 180.0
_UPDATE_SECONDS: Final = 900.0
_REMEDY: Final = "check the network and the proxy, pass --debian-mirror URL, or pass --kernel PATH"


class NoSuchSuite(SpecError):
    """The mirror is reached but has no such suite."""


class StaleSuite(InfraError):
    """The mirror's lists of a suite are past the date until which they are signed, or dated in the future."""


@dataclass(frozen=True, slots=True)
class Package:
    """One binary package of an archive; ``size`` in bytes, ``depends`` the raw field."""

    name: str
    version: str
    size: int
    sha256: str
    depends: str


@dataclass(frozen=True, slots=True)
class Archive:
    """One suite of a mirror, for amd64. ``trust`` is how apt's source line says whose signature is valid."""

    mirror: str
    suite: str
    trust: str

    def update(self, progress: Progress) -> None:
        """Fetch the suite's lists. Raises NoSuchSuite, StaleSuite, or InfraError when it is not reached or trusted."""
        with self._locked():
            self._configure()
            progress.say(f"asking the Debian archive for its {self.suite} packages ...")
            done = self._apt("update", "-o", "APT::Update::Error-Mode=any", seconds=_UPDATE_SECONDS)
        if done.status:
            raise self._failure(done.stderr)

    def packages(self, prefix: str) -> tuple[Package, ...]:
        """The packages whose names begin with ``prefix``, from the lists that update() fetched."""
        with self._locked():
            done = self._apt("indextargets", "--format", "$(FILENAME)", "Created-By: Packages", seconds=60)
            listed = [Path(line) for line in done.stdout.splitlines() if Path(line).is_file()]
            return tuple(package for path in listed for package in _read_list(path, prefix))

    def download(self, packages: Sequence[Package], folder: Path, what: str, progress: Progress) -> list[Path]:
        """Fetch ``packages`` into ``folder``; apt has checked their hashes against the signed lists.

        ``what`` is said to the person who waits.
        Raises InfraError when one cannot be fetched or is not what the lists say.
        """
        folder.mkdir(parents=True, exist_ok=True)
        size = sum(package.size for package in packages)
        errors = folder / "apt.log"
        argv = [proc.need("apt-get"), "-qq", "-o", "APT::Status-Fd=1", "download"]
        argv += [f"{package.name}={package.version}" for package in packages]
        with (
            self._locked(),
            progress.transfer(what, size) as report,
            errors.open("wb") as log,
            proc.spawn(
                argv, cwd=folder, env=self._environment(), stdout=proc.PIPE, stderr=log.fileno(), guarded=True
            ) as process,
        ):
            for share in _shares(process):
                report(int(share * size))
            status = process.wait()
        found = sorted(folder.glob("*.deb"))
        if status or len(found) != len(packages):
            raise self._failure(errors.read_text(errors="replace"))
        return found

    @property
    def _folder(self) -> Path:
        return cache.root() / "apt" / cache.digest(self.mirror, self.suite, self.trust)

    def _locked(self) -> AbstractContextManager[None]:
        """Keep other runs out of our folder: two of different specs share it, and apt in it bears only one."""
        return cache.locked(f"apt-{self._folder.name}")

    def _environment(self) -> dict[str, str]:
        if not (self._folder / "apt.conf").exists():  # apt would silently take the machine's configuration
            self._configure()
        return {"APT_CONFIG": str(self._folder / "apt.conf"), "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}

    def _apt(self, *words: str, seconds: float) -> proc.Completed:
        argv = [proc.need("apt-get"), "-q", *words]
        return proc.run(argv, env=self._environment(), seconds=seconds, check=False)

    def _configure(self) -> None:
        """Write a configuration that stands alone: the machine's own is not read when it is in force."""
        base = self._folder
        with cache.space_guard():
            for name in ("lists/partial", "cache/archives/partial", "log"):
                (base / name).mkdir(parents=True, exist_ok=True)
            (base / "status").touch()
            (base / "sources.list").write_text(f"deb [arch=amd64 {self.trust}] {self.mirror} {self.suite} main\n")
            (base / "apt.conf").write_text("\n".join([*_inherited(), *_own_options(base)]) + "\n")

    def _failure(self, text: str) -> InfraError | SpecError:
        """One line for what apt said on standard error."""
        if proc.out_of_space(text) or cache.is_full():  # where apt's reason is lost too
            return cache.no_space()
        lines = [line for line in text.splitlines() if line.startswith(("E:", "W:"))] or text.splitlines()
        first = lines[0].lstrip("EW: ") if lines else "no reason given"
        if stale := re.search(r"is (?:expired|not valid yet) \((.*?)\)", text):
            return StaleSuite(
                f"the mirror {self.mirror} has {self.suite} of another time ({stale[1]})",
                remedy="check this machine's clock, or pass --debian-mirror URL",
            )
        # Without an answer that it likes apt goes on to speak of signatures. A missing file (404) is dealt with below.
        if refused := re.search(r"Failed to fetch (\S+)\s+(?!404)([45]\d\d)\s+(.*?)\s*(?:\[IP|$)", text, re.MULTILINE):
            return InfraError(
                f"the Debian archive at {self.mirror} cannot be reached: "
                f"the answer is {refused[2]} {refused[3]} for {refused[1]}",
                remedy=_REMEDY,
            )
        if re.search(r"Release file| 404 ", text) and not re.search(r"NO_PUBKEY|not signed|GPG", text):
            return NoSuchSuite(f"the mirror {self.mirror} has no suite {self.suite}", remedy="pass --debian-mirror URL")
        if re.search(r"NO_PUBKEY|not signed|GPG error|signatures? (?:were|was|couldn't)|Signed-By", text):
            return InfraError(
                f"the signature of {self.suite} on {self.mirror} is not valid: {first}",
                remedy="install the newest debian-archive-keyring; unsigned archives are never used",
            )
        if re.search(r"Hash Sum mismatch|unexpected size", text, re.IGNORECASE):
            return InfraError(f"a file from {self.mirror} is corrupt: {first}", remedy="try again, or another mirror")
        return InfraError(f"the Debian archive at {self.mirror} cannot be reached: {first}", remedy=_REMEDY)


def debian_archives(suites: Sequence[str], mirror: str | None, trust: str | None = None) -> tuple[Archive, ...]:
    """The ``suites`` on ``mirror``, or on the mirror of the machine's own apt.

    They are checked with Debian's keys, unless ``trust`` says otherwise in the words of apt's source lines.

    Raises SpecError when ``mirror`` is no URL, InfraError when the machine has no apt, no keys or no Debian mirror.
    """
    if proc.find("apt-get") is None or proc.find("dpkg-deb") is None:
        raise InfraError(
            "a Debian kernel is fetched with apt-get and dpkg-deb, which are not installed",
            remedy="install apt and dpkg and pass --debian-mirror URL, or pass --kernel PATH",
        )
    if mirror is not None and not re.match(r"[a-z][a-z0-9+.-]*:/\S+$", mirror):
        raise SpecError(f"--debian-mirror {mirror!r} is no URL", remedy="it begins with http://, https:// or file:/")
    mirror = mirror or machine_mirror()
    trust = trust or f"signed-by={_keyring()}"
    return tuple(Archive(mirror.rstrip("/"), suite, trust) for suite in suites)


def is_later(version: str, other: str) -> bool:
    """Whether a version is the higher one by Debian's order, which only dpkg knows."""
    asked = [proc.need("dpkg"), "--compare-versions", version, "gt", other]
    return proc.run(asked, seconds=30, check=False).status == 0


def _keyring() -> Path:
    for path in KEYRINGS:
        if path.exists():
            return path
    raise InfraError(
        f"the Debian archive's keys are not installed ({KEYRINGS[0]})",
        remedy="install the package debian-archive-keyring",
    )


def machine_mirror() -> str:
    """The Debian mirror in the machine's own apt sources, in whichever of their two syntaxes.

    Raises InfraError that asks for --debian-mirror when apt has none.
    """
    wanted = "$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN)"
    argv = [proc.need("apt-get"), "indextargets", "--format", wanted, "Created-By: Packages"]
    # Where a list was fetched apt knows the archive's own name for itself; where none was, only the sources.
    for option in ("--release-info", "--no-release-info"):
        found = _pick_mirror(proc.run([*argv, option], seconds=60, check=False, env={"LC_ALL": "C"}).stdout)
        if found is not None:
            return found
    raise InfraError("this machine's apt has no Debian mirror", remedy="pass --debian-mirror URL")


def _pick_mirror(indextargets: str) -> str | None:
    """The mirror of Debian's main archive: one whose fetched lists say so, one that looks like it, or the only one."""
    maybe = []
    for line in indextargets.splitlines():
        uri, release, component, *origin = line.split(maxsplit=3)
        if component == "main" and release in _DEBIAN_SUITES:
            if origin == ["Debian"]:
                return uri.rstrip("/")
            if not origin or origin[0].startswith("$("):  # not fetched yet
                maybe.append(uri.rstrip("/"))
    alike = [uri for uri in maybe if uri.endswith("/debian")] or (maybe if len(set(maybe)) == 1 else [])
    return alike[0] if alike else None


def _inherited() -> list[str]:
    """How the machine's apt reaches the network."""
    dump = proc.run([proc.need("apt-config"), "dump"], seconds=60, check=False).stdout
    return [line for line in dump.splitlines() if _INHERITED.fullmatch(line)]


def _own_options(base: Path) -> Iterator[str]:
    none = "/dev/null"
    options = {
        "Dir::State": base,
        "Dir::State::lists": base / "lists",
        "Dir::State::status": base / "status",
        "Dir::Cache": base / "cache",
        "Dir::Log": base / "log",
        "Dir::Etc::main": none,
        "Dir::Etc::parts": none,
        "Dir::Etc::sourcelist": base / "sources.list",
        "Dir::Etc::sourceparts": none,
        "Dir::Etc::preferences": none,
        "Dir::Etc::preferencesparts": none,
        "APT::Architecture": "amd64",
        "APT::Architectures": "amd64",
        "APT::Get::AllowUnauthenticated": "false",
        "Acquire::AllowInsecureRepositories": "false",
        "Acquire::AllowWeakRepositories": "false",
        "Acquire::AllowDowngradeToInsecureRepositories": "false",
        "Acquire::Languages": "none",
        "Acquire::GzipIndexes": "false",
    }
    if not _sandbox_reaches(base):
        options["APT::Sandbox::User"] = ""
    return (f'{name} "{value}";' for name, value in options.items())


def _sandbox_reaches(base: Path) -> bool:
    """Whether apt can leave downloads to its own unprivileged user: we are root, and that user can go to ``base``."""
    return os.geteuid() == 0 and all(folder.stat().st_mode & 0o001 for folder in (base, *base.parents))


def _read_list(path: Path, prefix: str) -> Iterator[Package]:
    for stanza in path.read_text().split("\n\n"):
        if stanza.lstrip("\n").startswith(f"Package: {prefix}"):
            fields = dict(line.partition(": ")[::2] for line in stanza.splitlines() if line[:1].isalpha())
            yield Package(
                fields["Package"],
                fields["Version"],
                int(fields["Size"]),
                fields["SHA256"],
                fields.get("Depends", ""),
            )


def _shares(process: proc.Process) -> Iterator[float]:
    """What share of a download is done, from the status lines that apt writes about twice a second."""
    assert process.stdout
    last, moved = -1.0, time.monotonic()
    for line in process.stdout:
        kind, _, rest = line.decode(errors="replace").partition(":")
        try:
            share = float(rest.split(":")[1]) / 100 if kind == "dlstatus" else last
        except (IndexError, ValueError):
            share = last
        if share != last:
            last, moved = share, time.monotonic()
            yield share
        elif time.monotonic() - moved > _STALLED:
            raise InfraError(f"the download has not moved for {_STALLED:g} s", remedy=_REMEDY)
