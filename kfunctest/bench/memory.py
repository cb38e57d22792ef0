# SPDX-License-Identifier: GPL-2.0-only
"""What one VM takes of the host beyond the memory that it was given: what capacity.py must reckon with for each."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

#: Seconds between two looks.
EVERY = 1.0
#: A mapping of /proc/PID/smaps: its size, and the share of it that is this process's, in KiB (proc_pid_smaps(5)).
_MAPPING = re.compile(r"^[0-9a-f]+-[0-9a-f]+ .*\nSize: +(\d+) kB\n(?:(?!Pss:)\w+: .*\n)*Pss: +(\d+) kB$", re.MULTILINE)


class Watched:
    """The largest sum, in bytes, of what the processes below this one had in memory at once, less the guest's own."""

    def __init__(self, guest: int, root: Path = Path("/proc")) -> None:
        self._guest = guest
        self._root = root
        self.peak = 0

    def look(self, pid: int) -> None:
        """Add up what the processes below ``pid`` have now."""
        sizes = (beyond(self._root / str(child), self._guest) for child in below(pid, self._root))
        self.peak = max(self.peak, sum(sizes))


@contextmanager
def watching(guest: int) -> Iterator[Watched]:
    """Look at what this process starts, while that runs. ``guest`` is the size of the VM's memory, in bytes."""
    watched, end = Watched(guest), threading.Event()

    def run() -> None:
        while not end.wait(EVERY):
            watched.look(os.getpid())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield watched
    finally:
        end.set()
        thread.join()


def beyond(process: Path, guest: int) -> int:
    """Bytes of a process, pages that it shares with others counted in part, less mappings of the ``guest``'s size."""
    try:
        mappings = _MAPPING.findall((process / "smaps").read_text())
    except OSError:  # it has ended
        return 0
    return sum(int(share) << 10 for size, share in mappings if int(size) << 10 != guest)


def below(pid: int, root: Path = Path("/proc")) -> list[int]:
    """The processes that ``pid`` is the ancestor of."""
    parents = {}
    for path in root.glob("[0-9]*"):
        with suppress(OSError):
            # The name, in parentheses, may hold anything: what follows it begins with the state and the parent.
            parents[int(path.name)] = int((path / "stat").read_text(errors="replace").rpartition(")")[2].split()[1])
    found, generation = [], [pid]
    while generation:
        generation = [child for child, parent in parents.items() if parent in generation]
        found += generation
    return found
