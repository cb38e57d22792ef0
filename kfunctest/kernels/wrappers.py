# SPDX-License-Identifier: GPL-2.0-only
"""Programs of ours that stand before those of the machine while a kernel is built."""

from __future__ import annotations

import os
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
    pahole = proc.need("pahole") if tools.pahole_version < _REPRODUCIBLE_PAHOLE else None
    place = cache.root() / "trees" / f"bin-{cache.digest(str(tools.ccache), str(pahole))[:8]}"
    place.mkdir(parents=True, exist_ok=True)
    if tools.ccache and not (place / "gcc").is_symlink():
        partial = place / f".gcc-{os.getpid()}"
        partial.symlink_to(tools.ccache)
        partial.replace(place / "gcc")
    if pahole and not (place / "pahole").exists():
        partial = place / f".pahole-{os.getpid()}"
        partial.write_text(_WITHOUT_J.format(pahole=shlex.quote(pahole)))
        partial.chmod(0o755)
        partial.replace(place / "pahole")
    return place
