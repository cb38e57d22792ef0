# SPDX-License-Identifier: GPL-2.0-only
"""Programs of ours that stand before those of the machine while a kernel is built."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Final

from kfunctest import cache, proc
from kfunctest.kernels.toolchain import Toolchain

#: With -j the BTF that pahole makes differs from run to run before this version, and with it the image. Older kernels
#: do not know that (scripts/Makefile.btf of newer ones).
_REPRODUCIBLE_PAHOLE: Final = 127
_WITHOUT_J: Final = """\
#!/bin/sh
for word do shift; case $word in -j*) ;; *) set -- "$@" "$word" ;; esac; done
exec {pahole} "$@"
"""


def folder(tools: Toolchain) -> Path:
    """The folder of what this toolchain needs: gcc, which is ccache (ccache(1), "run modes"), and pahole without -j."""
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
