# SPDX-License-Identifier: GPL-2.0-only
"""Git histories by the hundred commits, written in one go by git fast-import."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kfunctest import proc


@dataclass
class Writer:
    """Adds commits to the repository ``folder``, in memory until :meth:`write`."""

    folder: Path
    branch: str = "main"
    _stream: list[bytes] = field(default_factory=list)
    _count: int = 0
    _subjects: dict[str, int] = field(default_factory=dict)

    def commit(
        self,
        subject: str,
        files: Mapping[str, str | bytes | None],
        parents: Sequence[str | int] | None = None,
        author: str = "A U Thor <author@example.org>",
    ) -> int:
        """Add a commit that changes ``files`` (None: removes); returns its mark.

        ``parents`` are marks or commits; by default the last one that was added.
        """
        before = [self._count] if parents is None and self._count else parents or []
        self._count += 1
        when = 1_700_000_000 + 60 * self._count
        out = [
            f"commit refs/heads/{self.branch}".encode(),
            b"mark :%d" % self._count,
            f"author {author} {when} +0000".encode(),
        ]
        out += [f"committer {author} {when} +0000".encode(), b"data %d" % len(subject.encode()), subject.encode()]
        names = [f":{parent}" if isinstance(parent, int) else parent for parent in before]
        out += [f"{'merge' if number else 'from'} {name}".encode() for number, name in enumerate(names)]
        for path, content in files.items():
            if content is None:
                out.append(f"D {path}".encode())
                continue
            data = content.encode() if isinstance(content, str) else content
            out += [f"M 100644 inline {path}".encode(), b"data %d" % len(data), data]
        self._stream += [*out, b""]
        self._subjects[subject] = self._count
        return self._count

    def write(self) -> dict[str, str]:
        """Make the repository, or add to it; returns the commits by their subjects."""
        env: dict[str, str | None] = {name: None for name in os.environ if name.startswith("GIT_")}
        env |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        git = [proc.need("git"), "-C", str(self.folder)]
        if not (self.folder / ".git").exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            proc.run([*git, "-c", "init.defaultBranch=main", "init", "--quiet"], seconds=60, env=env)
        marks = self.folder / ".git" / "marks"
        argv = [*git, "fast-import", "--quiet", "--force", f"--export-marks={marks}"]
        proc.run(argv, seconds=600, env=env, stdin=b"\n".join(self._stream) + b"\n")
        ids = dict(line.removeprefix(":").split() for line in marks.read_text().splitlines())
        return {subject: ids[str(mark)] for subject, mark in self._subjects.items()}
