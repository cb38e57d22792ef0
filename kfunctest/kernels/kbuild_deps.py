# SPDX-License-Identifier: GPL-2.0-only
"""What a build has read and made, by the command lines that kbuild keeps: evidence of what a change can touch.

kbuild writes beside each target that it makes ``.TARGET.cmd``: the command, and for compiled files ``deps_TARGET``, all
files that the compiler opened. (scripts/Makefile.lib: cmd_and_fixdep; tools/build/Build.include does the same.)
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kfunctest.kernels.build_dir import Slot

#: The name of such a record beside a kernel that was built.
NAME: Final = "inputs.json"
#: A path in a command line or a list of dependencies ends before any of these.
_PATH: Final = r"[^\s:;,=()\"'\\]+"


@dataclass(frozen=True, slots=True)
class Inputs:
    """What one build read and made, as paths from the source's top.

    ``files`` were read, ``targets`` made (seen from the top of the object folder), ``folders`` are those that make made
    something in. Left-overs of earlier builds in the same place are among them: they can only make a change seem to
    matter that does not.
    """

    files: frozenset[str]
    targets: frozenset[str]
    folders: frozenset[str]

    def compiled_below(self, folder: str) -> bool:
        """Whether an object was made in this folder or below it."""
        return any(target.endswith(".o") and target.startswith(f"{folder}/") for target in self.targets)


def collect(place: Slot) -> Inputs:
    """What the build in this slot has read and made so far."""
    # As kbuild writes paths of the source: whole, or as seen from the object folder.
    tops = "|".join(re.escape(top) for top in (str(place.src), os.path.relpath(place.src, place.obj)))
    reading = re.compile(rf"(?:{tops})/({_PATH})")
    lines: set[str] = set()  # most of them stand in a thousand lists
    targets: set[str] = set()
    folders: set[str] = set()
    for folder, _, names in os.walk(place.obj):
        inside = Path(folder).relative_to(place.obj)
        folders.add(str(inside))
        for name in names:
            if name.startswith(".") and name.endswith(".cmd"):
                targets.add(str(inside / name[1:].removesuffix(".cmd")))
                lines.update(Path(folder, name).read_text(errors="replace").split("\n"))
    files = {os.path.normpath(path) for line in lines for path in reading.findall(line)}
    return Inputs(frozenset(files), frozenset(targets), frozenset(folders))


def write(file: Path, inputs: Inputs) -> None:
    """Keep them in ``file``. Raises OSError."""
    file.write_text(json.dumps({name: sorted(getattr(inputs, name)) for name in Inputs.__slots__}))


def read(file: Path) -> Inputs | None:
    """What is kept in ``file``; None where there is nothing, or nothing whole."""
    try:
        kept = json.loads(file.read_bytes())
        return Inputs(*(frozenset(map(str, kept[name])) for name in ("files", "targets", "folders")))
    except (OSError, ValueError, KeyError, TypeError):
        return None
