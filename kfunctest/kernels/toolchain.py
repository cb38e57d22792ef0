# SPDX-License-Identifier: GPL-2.0-only
"""What kernels are built with on this machine, and whether that is enough for a source."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kfunctest import cache, proc
from kfunctest.errors import InfraError
from kfunctest.kernels.source import Source

#: Programs that a build cannot do without. What only some configurations need, make itself misses.
_NEEDED: Final = ("make", "gcc", "ld", "flex", "bison", "bc", "perl", "pahole")
_REMEDY: Final = "scripts/setup --build installs what kernels are built with, or names the packages"
#: Where Debian, Fedora and Arch publish pahole; distributions of other years lag behind.
_PAHOLE_REMEDY: Final = "install a newer one (package pahole or dwarves; on Debian it is also in backports)"
#: With -j the BTF that pahole makes differs from run to run before this version, and with it the image. Older kernels
#: do not know that (scripts/Makefile.btf of newer ones).
_REPRODUCIBLE_PAHOLE: Final = 127
_WITHOUT_J: Final = """\
#!/bin/sh
for word do shift; case $word in -j*) ;; *) set -- "$@" "$word" ;; esac; done
exec {pahole} "$@"
"""


@dataclass(frozen=True, slots=True)
class Toolchain:
    """The compiler, linker and pahole, each as it names itself; and ccache, where the machine has it."""

    compiler: str
    linker: str
    pahole: str
    ccache: Path | None

    @property
    def words(self) -> tuple[str, ...]:
        """What decides, of the toolchain, which image comes out."""
        return (self.compiler, self.linker, self.pahole)

    @property
    def pahole_version(self) -> int:
        """As the kernel's build counts it: 124 means 1.24."""
        return _number(self.pahole)


def find(source: Source) -> Toolchain:
    """The toolchain of this machine. Raises InfraError when a tool is missing, or pahole is too old for ``source``."""
    tools = installed()
    _require(source, tools.pahole)
    return tools


def installed() -> Toolchain:
    """The toolchain of this machine, whatever it is to build. Raises InfraError when a tool is missing."""
    missing = [name for name in _NEEDED if proc.find(name) is None]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        raise InfraError(f"{', '.join(missing)} {verb} not installed, to build a kernel", remedy=_REMEDY)
    return Toolchain(_version("gcc"), _version("ld"), _version("pahole"), proc.find("ccache"))


def _version(tool: str) -> str:
    said = proc.run([proc.need(tool), "--version"], seconds=60, env={"LC_ALL": "C"}).stdout
    return said.splitlines()[0].strip() if said.strip() else tool


def _require(source: Source, pahole: str) -> None:
    """Hold pahole to what the source's own Kconfig asks for (lib/Kconfig.debug, DEBUG_INFO_BTF): 122 means 1.22."""
    text = source.store.text(source.tree, "lib/Kconfig.debug") or ""
    entry = re.search(r"^config DEBUG_INFO_BTF\n(?:[ \t#].*\n|\n)*", text, re.MULTILINE)
    asked = [int(number) for number in re.findall(r"PAHOLE_VERSION >= (\d+)", entry[0])] if entry else []
    if asked and _number(pahole) < max(asked):
        needed = f"{max(asked) // 100}.{max(asked) % 100}"
        raise InfraError(
            f"pahole {pahole.removeprefix('v')} is too old: this source needs {needed} or newer for BTF",
            remedy=_PAHOLE_REMEDY,
        )


def _number(pahole: str) -> int:
    found = re.search(r"(\d+)\.(\d+)", pahole)
    return int(found[1]) * 100 + int(found[2]) if found else 0


def wrappers(tools: Toolchain) -> Path:
    """A folder of programs for PATH, before the machine's: gcc, which is ccache (ccache(1), "run modes"), and pahole
    without -j.
    """
    pahole = ""
    if tools.pahole_version < _REPRODUCIBLE_PAHOLE:
        pahole = _WITHOUT_J.format(pahole=shlex.quote(proc.need("pahole")))

    def fill(place: Path) -> None:
        if tools.ccache:
            (place / "gcc").symlink_to(tools.ccache)
        if pahole:
            (place / "pahole").write_text(pahole)
            (place / "pahole").chmod(0o755)

    return cache.entry("trees", f"bin-{cache.digest(str(tools.ccache), pahole)[:8]}", fill)
