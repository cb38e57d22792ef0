# SPDX-License-Identifier: GPL-2.0-only
"""Whether what differs between two commits can reach the image: decided from what the build of one of them has read.

If nothing that differs was read by a build, and nothing of it can change which files a build reads, the other commit's
build would read the same bytes, and come to the same image. Whatever is not certainly of that kind counts as touching.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Final

from kfunctest.kernels.kbuild_deps import Inputs

#: One file that differs: git's letter for how (A, D, M, T), and its path.
Change = tuple[str, str]

#: Files that no build of an image opens, whatever is configured.
_TEXT: Final = re.compile(
    r"Documentation/.*|LICENSES/.*|tools/testing/.*|MAINTAINERS|CREDITS|COPYING|README|\.mailmap|\.clang-format|\.get_maintainer.*"
    r"|(?:.*/)?\.gitignore|.*\.rst|.*\.md"
)
_KCONFIG: Final = re.compile(r"(?:.*/)?Kconfig[^/]*")
_MAKEFILE: Final = re.compile(r"(?:.*/)?(?:Makefile|Kbuild)")
#: Folders whose makefiles are read when make enters them, and by no other way. The makefiles that some of these include
#: are covered by what was compiled beside them (amdgpu, i915, habanalabs).
_ENTERED: Final = re.compile(r"(?:drivers|sound|fs|net|crypto)/.*")
#: With these, headers are read by more than the compiler. (kernel/gen_kheaders.sh, usr/include/Makefile)
_READS_HEADERS: Final = re.compile(r"^CONFIG_(?:IKHEADERS|HEADERS_INSTALL|UAPI_HEADER_TEST)=", re.MULTILINE)
_RUST: Final = re.compile(r"^CONFIG_RUST=y", re.MULTILINE)

#: What is said of each kind, for reports.
TEXT: Final = "documentation, tests"
ARCH: Final = "other architectures"
SOURCE: Final = "sources that no command of the build names"
HEADER: Final = "headers that nothing of the build includes"
MAKEFILE: Final = "makefiles of folders that make does not enter"
KCONFIG: Final = "Kconfig files that give the same configuration"
RUST: Final = "Rust, which is not configured"


def untouched(
    changes: Sequence[Change], inputs: Inputs | None, config: str, *, arch: str = "x86"
) -> Mapping[str, int] | None:
    """How many files of each kind differ, if none of them can reach the image; None where one may.

    ``inputs`` are those of the build of one of the two commits, and ``config`` its configuration; without a build only
    what no build reads is left out. Where KCONFIG is among the kinds, the caller holds the configurations against each
    other.
    """
    kinds: Counter[str] = Counter()
    for how, path in changes:
        kind = _kind(how, path, inputs, config, arch)
        if kind is None:
            return None
        kinds[kind] += 1
    return kinds


def words(kinds: Mapping[str, int]) -> str:
    """The argument in one line."""
    if not kinds:
        return "no file differs"
    files = sum(kinds.values())
    listed = "; ".join(f"{count} of {kind}" for kind, count in sorted(kinds.items()))
    return f"{files} {'file differs' if files == 1 else 'files differ'}, and the build reads none of them: {listed}"


def _kind(how: str, path: str, inputs: Inputs | None, config: str, arch: str) -> str | None:
    """The kind of a file that cannot reach the image; None for one that may."""
    if (inputs and path in inputs.files) or how not in "AMD":
        return None
    if _KCONFIG.fullmatch(path) or _MAKEFILE.fullmatch(path):
        elsewhere = path.startswith("tools/testing/") or _other_arch(path, arch)
        return (TEXT if path.startswith("tools") else ARCH) if elsewhere else _makes(path, inputs)
    if _TEXT.fullmatch(path):
        return TEXT
    if _other_arch(path, arch):
        return ARCH
    if inputs is None:
        return None
    return _source(how, path, inputs, config)


def _makes(path: str, inputs: Inputs | None) -> str | None:
    if inputs is None:
        return None
    if _KCONFIG.fullmatch(path):
        return KCONFIG
    folder = PurePosixPath(path).parent
    entered = str(folder) in inputs.folders or inputs.compiled_below(str(folder.parent))
    return MAKEFILE if _ENTERED.fullmatch(path) and not entered else None


def _source(how: str, path: str, inputs: Inputs, config: str) -> str | None:
    if path.endswith((".c", ".S")):
        # A new foo.c would be taken in the place of a foo.S, or of one that is generated.
        return None if how == "A" and _target(path) in inputs.targets else SOURCE
    if path.endswith(".h"):
        # One that comes or goes can hide, or uncover, another one of its name.
        return HEADER if how == "M" and not _READS_HEADERS.search(config) else None
    if path.endswith(".rs"):
        return None if _RUST.search(config) else RUST
    return None


def _target(path: str) -> str:
    return str(PurePosixPath(path).with_suffix(".o"))


def _other_arch(path: str, arch: str) -> bool:
    parts = path.split("/")
    return len(parts) > 2 and parts[0] == "arch" and parts[1] != arch
