# SPDX-License-Identifier: GPL-2.0-only
"""scripts/bisect against what one would write by hand: ``git bisect run`` around olddefconfig, make and the suite.

Both start with empty object folders, without ccache and without a kernel in the cache, build the same configuration and
run the same test, one after the other on the same cores. The loop by hand proves no end, and looks at nothing twice.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kfunctest import cache, proc
from kfunctest.errors import InfraError
from kfunctest.kernels import fragments, source
from kfunctest.kernels.gitstore import clean_environment
from kfunctest.target.accelerator import Accelerator

CHECKOUT: Final = Path(__file__).resolve().parents[2]
SECONDS: Final = 12 * 3600.0
#: The step of the loop: configure, build, test; what does not build, and what pytest cannot judge, is skipped.
_STEP: Final = """\
#!/bin/sh
cp {config} {objects}/.config
make O={objects} olddefconfig && make -j{jobs} O={objects} || exit 125
{pytest}
case $? in 0) exit 0 ;; 1) exit 1 ;; 2) exit 130 ;; *) exit 125 ;; esac
"""


@dataclass(frozen=True, slots=True)
class Range:
    """A tree, its two ends, and the test that tells them apart."""

    tree: Path
    good: str
    bad: str
    test: str


@dataclass(frozen=True, slots=True)
class Bisections:
    """What both sides found, and the seconds that they took; ``steps`` of ours, of which ``built`` were built."""

    ours: str
    usual: str
    our_seconds: float
    usual_seconds: float
    steps: int
    built: int

    @property
    def same(self) -> bool:
        """Whether both found the same culprit."""
        return bool(self.ours) and self.ours == self.usual

    def report(self) -> list[str]:
        """The lines to print."""
        culprit = f"both found {self.ours[:12]}" if self.same else f"ours {self.ours[:12]}, by hand {self.usual[:12]}"
        return [
            f"scripts/bisect takes {self.our_seconds / self.usual_seconds:.2f} of the time of git bisect run "
            f"({self.our_seconds / 60:.1f} and {self.usual_seconds / 60:.1f} minutes); {culprit}",
            f"of {self.steps} commits that git asked for, {self.built} were built",
        ]


def bisections(of: Range, accel: Accelerator, tries: int, say: Callable[[str], None]) -> Bisections:
    """Measure both. Raises InfraError where one does not come to its end."""
    with tempfile.TemporaryDirectory(prefix="bench-bisect-", dir=cache.root()) as scratch:
        folder = Path(scratch)
        say("scripts/bisect:")
        start = time.monotonic()
        found = _ours(of, accel, tries, folder)
        our_seconds = time.monotonic() - start
        say(f"  {our_seconds:.0f} s; git bisect run:")
        start = time.monotonic()
        usual = _usual(of, accel, folder)
        usual_seconds = time.monotonic() - start
        say(f"  {usual_seconds:.0f} s")
    steps = found["steps"]
    culprit = str((found["culprit"] or {}).get("id", ""))
    built = sum(1 for step in steps if step["built"])
    return Bisections(culprit, usual, our_seconds, usual_seconds, len(steps), built)


def _ours(of: Range, accel: Accelerator, tries: int, folder: Path) -> dict[str, Any]:
    """bisect.json of a bisection in an empty cache."""
    argv: list[str | Path] = [
        sys.executable,
        "-m",
        "kfunctest.bisect",
        "--tree",
        of.tree,
        "--good",
        of.good,
        "--bad",
        of.bad,
    ]
    argv += ["--tries", str(tries), "--accel", accel.name, "--results", folder / "results", of.test]
    env = {"KFUNCTEST_CACHE": str(folder / "cache"), "CCACHE_DISABLE": "1"}
    done = proc.run(argv, seconds=SECONDS, cwd=CHECKOUT, env=env, check=False)
    file = folder / "results" / "bisect-latest" / "bisect.json"
    if not file.exists():
        raise InfraError(f"scripts/bisect found nothing: {(done.stderr or done.stdout).strip().splitlines()[-1:]}")
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def _usual(of: Range, accel: Accelerator, folder: Path) -> str:
    """The commit that git bisect run names."""
    tree, objects = folder / "tree", folder / "objects"
    objects.mkdir()
    git = [proc.need("git"), "-C", str(tree)]
    env = clean_environment()
    clone = [proc.need("git"), "clone", "--quiet", "--shared", str(of.tree), str(tree)]
    proc.run(clone, seconds=SECONDS, env=env)
    fragment = folder / "fragments.config"
    at = source.resolve(f"{of.tree}@{of.bad}")
    fragment.write_text(fragments.text(fragments.load((), at.release)))
    proc.run([*git, "checkout", "--quiet", at_commit(of.tree, of.bad)], seconds=SECONDS, env=env)
    words = ["make", "-C", str(tree), f"O={objects}", f"KCONFIG_ALLCONFIG={fragment}", "allnoconfig"]
    proc.run(words, seconds=SECONDS, env={"CCACHE_DISABLE": "1"})
    config = folder / "config"
    config.write_text((objects / ".config").read_text())
    script = folder / "step"
    script.write_text(
        _STEP.format(
            config=config, objects=objects, jobs=len(os.sched_getaffinity(0)), pytest=_pytest(of, accel, folder)
        )
    )
    script.chmod(0o755)
    ends = [at_commit(of.tree, of.bad), at_commit(of.tree, of.good)]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    own = {**env, "PATH": path, "CCACHE_DISABLE": "1"}
    proc.run([*git, "bisect", "start", *ends], seconds=SECONDS, env=own)
    said = proc.run([*git, "bisect", "run", script], seconds=SECONDS, env=own, check=False)
    named = re.search(r"^([0-9a-f]{40}) is the first bad commit", said.stdout, re.MULTILINE)
    return named[1] if named else ""


def _pytest(of: Range, accel: Accelerator, folder: Path) -> str:
    argv = [sys.executable, "-m", "pytest", "-c", CHECKOUT / "pyproject.toml", "-p", "kfunctest.plugin.hooks", "-q"]
    argv += ["-p", "no:cacheprovider", "-m", "kfunc", f"--kernel={folder / 'objects'}", "--accel", accel.name]
    argv += ["--results", folder / "usual", CHECKOUT / of.test]
    return f"cd {shlex.quote(str(CHECKOUT))} && {shlex.join(map(str, argv))}"


def at_commit(tree: Path, revision: str) -> str:
    """The commit that ``revision`` is in ``tree``."""
    words = ["-C", str(tree), "rev-parse", "--verify", f"{revision}^{{commit}}"]
    return proc.run([proc.need("git"), *words], seconds=SECONDS, env=clean_environment()).stdout.strip()
