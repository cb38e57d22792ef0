# SPDX-License-Identifier: GPL-2.0-only
"""A Debian archive behind an HTTP server of a test's own, with kernels made by hand."""

from __future__ import annotations

import http.server
import io
import threading
import urllib.parse
from collections.abc import Mapping
from pathlib import Path

from kfunctest import cache
from kfunctest.kernels import debian, debian_source
from kfunctest.kernels.progress import Progress
from tests import fakekernel

BACKPORTS = "trixie-backports"


class Archive:
    """A Debian archive behind an HTTP server of this test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "archive"
        self._work = folder / "work"
        self._stanzas: dict[str, list[str]] = {}
        self.requests: list[str] = []
        self.corrupt = self.stall = False
        #: The HTTP status that every request is refused with, where it is not 0.
        self.refusal = 0
        self.released = threading.Event()
        archive = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *args: object, **kwargs: object) -> None:
                super().__init__(*args, directory=str(archive.folder), **kwargs)  # type: ignore[arg-type]

            def do_GET(self) -> None:
                archive.requests.append(self.path)
                if archive.refusal:
                    self.send_error(archive.refusal)
                    return
                path = archive.folder / urllib.parse.unquote(self.path).lstrip("/")
                if path.suffix == ".deb" and (archive.corrupt or archive.stall):
                    data = path.read_bytes()
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data[: len(data) // 2])
                    if archive.stall:
                        archive.released.wait(60)
                    self.wfile.write(bytes(len(data) - len(data) // 2))
                    return
                del self.headers["If-Modified-Since"]  # its resolution is a second: longer than a test takes
                super().do_GET()

            def log_message(self, *args: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.mirror = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def add(self, release: str, version: str, suite: str = BACKPORTS, *, whole: bool = True) -> None:
        """A kernel as Debian has cut it into packages since 6.19; not ``whole``: its modules are gone."""
        folder = self._work / f"modules-{release}"
        if not folder.exists():
            fakekernel.modules_folder(folder, {"fs/9p": fakekernel.module(), "gpu/huge": fakekernel.module()})
        files = {f"usr/lib/modules/{release}/{p.relative_to(folder)}": p.read_bytes() for p in folder.rglob("*.*")}
        base = {
            f"usr/lib/modules/{release}/config": fakekernel.CONFIG.encode(),
            f"usr/lib/modules/{release}/modules.builtin": b"",
        }
        image = {f"usr/lib/modules/{release}/vmlinuz": fakekernel.image(release)}
        parts = {"base": base, "binary": image, "modules": files if whole else None}
        depends = "kmod, " + ", ".join(f"linux-{part}-{release} (= {version})" for part in parts)
        for part, content in parts.items():
            if content is not None:
                self._package(suite, f"linux-{part}-{release}", version, content)
        self._package(suite, f"linux-image-{release}", version, {}, depends)

    def add_old(self, release: str, version: str, suite: str) -> None:
        """A kernel in one package, as Debian had it before."""
        files = {
            f"boot/vmlinuz-{release}": fakekernel.image(release, functions=["mem_cgroup_css_alloc"]),
            f"boot/config-{release}": fakekernel.CONFIG.encode(),
            f"usr/lib/modules/{release}/modules.order": b"",
            f"usr/lib/modules/{release}/modules.builtin": b"",
        }
        self._package(suite, f"linux-image-{release}", version, files, "kmod")

    def add_source(self, series: str, version: str, files: Mapping[str, bytes | str], suite: str = BACKPORTS) -> None:
        """A package linux-source-SERIES with these files; those with a ``str`` are links to it."""
        name = f"linux-source-{series}"
        tar = fakekernel.tar_xz(name, files)
        self._package(suite, name, version, {f"usr/src/{name}.tar.xz": tar, "usr/share/doc/changelog": b""})

    def _package(self, suite: str, name: str, version: str, files: dict[str, bytes], depends: str = "") -> None:
        stanza = fakekernel.deb(self.folder / "pool", self._work / suite, name, version, files, depends)
        self._stanzas.setdefault(suite, []).append(stanza)
        fakekernel.publish(self.folder, suite, self._stanzas[suite])

    def fetch(self, spec: str = "debian", *, update: bool = False, trust: str = "trusted=yes") -> debian.Fetched:
        """What the engine does for ``spec``, trusting this unsigned archive."""
        return debian.fetch(spec, mirror=self.mirror, update=update, progress=Progress(io.StringIO()), trust=trust)

    def fetch_source(self, spec: str, *, update: bool = False) -> debian_source.Imported:
        """What the engine does for the source ``spec``, trusting this unsigned archive."""
        progress = Progress(io.StringIO())
        return debian_source.fetch(spec, mirror=self.mirror, update=update, progress=progress, trust="trusted=yes")

    def fetched_packages(self) -> list[str]:
        """The packages that were asked for so far."""
        return [path for path in self.requests if path.endswith(".deb")]

    def close(self) -> None:
        """End the server."""
        self.released.set()
        self._server.shutdown()
        self._server.server_close()


def entries() -> list[str]:
    """What the cache's kernels folder holds, hidden leftovers too."""
    return sorted(path.name for path in (cache.root() / "kernels").glob("*"))
