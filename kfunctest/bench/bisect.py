# SPDX-License-Identifier: GPL-2.0-only
"""scripts/bisect against what one would write by hand: ``git bisect run`` around olddefconfig, make and the suite.

Both begin with the good end built, as whoever found that it is good has it, in object folders of their own that nothing
else is in; without ccache. Both are given the same tests, and run on the same cores, one after the other. The loop by
hand proves no end, and looks at nothing twice.
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
from kfunctest.machine.accelerator import Accelerator

CHECKOUT: Final = Path(__file__).resolve().parents[2]
SECONDS: Final = 12 * 3600.0
#: What a user runs who names no test: ``pytest -m kfunc``.
SUITE: Final = ("-m", "kfunc")
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
    """A tree, its two ends, and the tests that are to tell them apart: some by name, or the whole suite."""

    tree: Path
    good: str
    bad: str
    tests: tuple[str, ...] = ()


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
        say("the good end, for scripts/bisect and for git bisect run:")
        _our_good_end(of, folder)
        config = _usual_good_end(of, folder)
        say("scripts/bisect:")
        start = time.monotonic()
        found = _ours(of, accel, tries, folder)
        our_seconds = time.monotonic() - start
        say(f"  {our_seconds:.0f} s; git bisect run:")
        start = time.monotonic()
        usual = _usual(of, accel, folder, config)
        usual_seconds = time.monotonic() - start
        say(f"  {usual_seconds:.0f} s")
    steps = found["steps"]
    culprit = str((found["culprit"] or {}).get("id", ""))
    built = sum(1 for step in steps if step["built"])
    return Bisections(culprit, usual, our_seconds, usual_seconds, len(steps), built)


def _our_good_end(of: Range, folder: Path) -> None:
    argv = [sys.executable, "-m", "kfunctest.build_kernel", f"{of.tree}@{at_commit(of.tree, of.good)}"]
    proc.run(argv, seconds=SECONDS, cwd=CHECKOUT, env=_our_environment(folder))


def _our_environment(folder: Path) -> dict[str, str | None]:
    return {"KFUNCTEST_CACHE": str(folder / "cache"), "CCACHE_DISABLE": "1"}


def _ours(of: Range, accel: Accelerator, tries: int, folder: Path) -> dict[str, Any]:
    """What bisect.json says of a bisection in a cache that has the good end alone."""
    argv: list[str | Path] = [sys.executable, "-m", "kfunctest.bisect", "--tree", of.tree]
    argv += ["--good", of.good, "--bad", of.bad]
    argv += ["--tries", str(tries), "--accel", accel.name, "--results", folder / "results"]
    argv += of.tests or SUITE
    done = proc.run(argv, seconds=SECONDS, cwd=CHECKOUT, env=_our_environment(folder), check=False)
    file = folder / "results" / "bisect-latest" / "bisect.json"
    if not file.exists():
        raise InfraError(f"scripts/bisect found nothing: {(done.stderr or done.stdout).strip().splitlines()[-1:]}")
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def _usual_good_end(of: Range, folder: Path) -> Path:
    """A checkout of the good end, built; returns the configuration, which is scripts/bisect's."""
    tree, objects, config = folder / "tree", folder / "objects", folder / "config"
    objects.mkdir()
    clone = [proc.need("git"), "clone", "--quiet", "--shared", str(of.tree), str(tree)]
    proc.run(clone, seconds=SECONDS, env=clean_environment())
    fragment = folder / "fragments.config"
    fragment.write_text(fragments.text(fragments.load((), source.resolve(f"{of.tree}@{of.bad}").release)))
    checkout = [proc.need("git"), "-C", str(tree), "checkout", "--quiet", at_commit(of.tree, of.good)]
    proc.run(checkout, seconds=SECONDS, env=clean_environment())
    make, plain = ["make", "-C", str(tree), f"O={objects}"], {"CCACHE_DISABLE": "1"}
    proc.run([*make, f"KCONFIG_ALLCONFIG={fragment}", "allnoconfig"], seconds=SECONDS, env=plain)
    config.write_text((objects / ".config").read_text())
    proc.run([*make, f"-j{_jobs()}"], seconds=SECONDS, env=plain)
    return config


def _usual(of: Range, accel: Accelerator, folder: Path, config: Path) -> str:
    """The commit that git bisect run names."""
    script, objects, env = folder / "step", folder / "objects", clean_environment()
    script.write_text(
        _STEP.format(config=config, objects=objects, jobs=_jobs(), pytest=_pytest(of, accel, folder, objects))
    )
    script.chmod(0o755)
    git = [proc.need("git"), "-C", str(folder / "tree")]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    own = {**env, "PATH": path, "CCACHE_DISABLE": "1"}
    ends = [at_commit(of.tree, of.bad), at_commit(of.tree, of.good)]
    proc.run([*git, "bisect", "start", *ends], seconds=SECONDS, env=own)
    said = proc.run([*git, "bisect", "run", script], seconds=SECONDS, env=own, check=False)
    named = re.search(r"^([0-9a-f]{40}) is the first bad commit", said.stdout, re.MULTILINE)
    return named[1] if named else ""


def _pytest(of: Range, accel: Accelerator, folder: Path, objects: Path) -> str:
    argv = [sys.executable, "-m", "pytest", "-c", CHECKOUT / "pyproject.toml", "-p", "kfunctest.plugin.hooks", "-q"]
    argv += ["-p", "no:cacheprovider", f"--kernel={objects}", "--accel", accel.name, "--results", folder / "usual"]
    argv += [CHECKOUT / test for test in of.tests] if of.tests else [*SUITE, CHECKOUT / "selftests"]
    return f"cd {shlex.quote(str(CHECKOUT))} && {shlex.join(map(str, argv))}"


def _jobs() -> int:
    return len(os.sched_getaffinity(0))


def at_commit(tree: Path, revision: str) -> str:
    """The commit that ``revision`` is in ``tree``."""
    words = ["-C", str(tree), "rev-parse", "--verify", f"{revision}^{{commit}}"]
    return proc.run([proc.need("git"), *words], seconds=SECONDS, env=clean_environment()).stdout.strip()
