# SPDX-License-Identifier: GPL-2.0-only
"""A history whose kernels are played: what becomes of each stands in its mm/memcontrol.c, between KF[ and ].

``KF[b=failed c=flaky]``: how tests end; all others pass. ``KF[boot=no]``: it dies while it boots. ``#error`` in what is
compiled: it does not build.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from kfunctest import cache, contract
from kfunctest.bisect import command, git_bisect
from kfunctest.bisect.build_impact import Change
from kfunctest.bisect.command import Asked
from kfunctest.bisect.git_bisect import History
from kfunctest.bisect.judge import Builds
from kfunctest.bisect.trials import Selection
from kfunctest.bisect.types import Made
from kfunctest.errors import InfraError, SpecError
from kfunctest.kernels import build, kbuild_deps
from kfunctest.kernels.kbuild_deps import Inputs
from kfunctest.results import JudgedKernel, Outcome, Result, Run, Untested
from kfunctest.trial.suite import Ended, Suite
from tests import gating
from tests.gating import A, B, C
from tests.histories import Writer

#: What the played build reads.
BUILT = ("mm/memcontrol.c", "kernel/fork.c", "include/all.h", "Makefile", "kfuncs")
INPUTS = Inputs(
    frozenset({"mm/memcontrol.c", "kernel/fork.c", "include/all.h"}),
    frozenset({"mm/memcontrol.o", "kernel/fork.o"}),
    frozenset({".", "mm", "kernel", "drivers"}),
)
RELEASE = "7.9.1-slim"
ALL = " ".join(sorted(contract.ALL))
BASE = {
    "Makefile": "VERSION = 7\nPATCHLEVEL = 9\n",
    "Kconfig": "mainmenu nothing\n",
    "mm/memcontrol.c": "/* KF[] */\n",
    "kernel/fork.c": "/* fork */\n",
    "include/all.h": "/* all */\n",
    "kfuncs": ALL,
}


@dataclass
class PlayedBuilds:
    """Plays builds of a git tree: a kernel is the content of what is compiled."""

    tree: Path
    folder: Path
    made: list[str] = field(default_factory=list)
    fails: Exception | None = None

    def __post_init__(self) -> None:
        self.history = History(self.tree, self.folder / "played.git")

    def _blob(self, commit: str, path: str) -> str:
        return self.history.git("cat-file", "blob", f"{commit}:{path}").stdout

    def make(self, commit: str) -> Made:
        if self.fails:
            raise self.fails
        self.made.append(commit)
        texts = [self._blob(commit, path) for path in BUILT]
        if "#error" in "".join(texts):
            raise SpecError("the kernel does not build: kernel/fork.c:1:2: error: #error", evidence="kernel/fork.c:1")
        folder = self.folder / "built" / cache.digest(*texts)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / build.IMAGE).write_text(texts[0])
        (folder / build.CONFIG).write_text(self.configuration(commit))
        kbuild_deps.write(folder / kbuild_deps.NAME, INPUTS)
        return Made(str(folder), folder.name, RELEASE, tuple(sorted(texts[4].split())))

    def changes(self, old: str, new: str) -> list[Change]:
        return self.history.changes(old, new)

    def evidence(self, made: Made) -> tuple[Inputs | None, str]:
        if not Path(made.folder).exists():
            return None, ""
        return kbuild_deps.read(Path(made.folder) / kbuild_deps.NAME), (Path(made.folder) / build.CONFIG).read_text()

    def configuration(self, commit: str) -> str:
        found = re.search(r"sets (\w+)", self._blob(commit, "Kconfig"))
        return f"CONFIG_{found[1]}=y\n" if found else ""


@dataclass
class PlayedSuite:
    """Runs the played tests a, b, c; leaves the results that pytest would. ``kills``: dies by SIGKILL in that run."""

    seed: int = 1
    kills: int = 0
    #: What every run comes to from the run of that number on: None for none.
    breaks_at: int = 0
    release: str = RELEASE
    #: What a test takes, where it takes anything.
    seconds: Mapping[str, float] = field(default_factory=dict)
    #: What no test covers of every image.
    untested: tuple[Untested, ...] = ()
    asked: list[tuple[str, ...]] = field(default_factory=list)
    #: Of each run, what it got to.
    ran: list[tuple[str, ...]] = field(default_factory=list)
    runs: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def __call__(self, kernel: str, folder: Path, words: Sequence[str], tests: Sequence[str]) -> Ended:
        self.runs += 1
        self.asked.append(tuple(tests))
        if self.runs == self.kills:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.breaks_at and self.runs >= self.breaks_at:
            return Ended(3, "qemu-system-x86_64 is not installed", None)
        marks = marks_of(Path(kernel))
        chosen = [A, B, C] if "selftests" in tests else list(tests)
        found = tuple(self._result(test, marks) for test in chosen)
        enough = next((int(word.partition("=")[2]) for word in words if word.startswith("--maxfail=")), len(found))
        bad = [at for at, one in enumerate(found) if one.outcome.bad]
        reached = found[: bad[enough - 1] + 1] if len(bad) >= enough else found
        self.ran.append(tuple(one.test for one in reached))
        return leave(folder, reached, self.release, planned=chosen, untested=self.untested)

    def _result(self, test: str, marks: Mapping[str, str]) -> Result:
        outcome = marks.get(test.rpartition("_")[2], "passed")
        if outcome == "flaky":
            outcome = self._random.choice(["failed", "passed"])
        message, phase = (f"expected 4096, seen 1, in {test}", "call") if outcome != "passed" else ("", "")
        if marks.get("boot") == "no":
            outcome, message, phase = "crashed", "the kernel died while it booted: VFS: it is made up", "boot"
        return Result(
            test,
            self.release,
            Outcome(outcome),
            seconds=self.seconds.get(test, 0.0),
            phase=phase,
            message=message,
            reproduce=f"scripts/kfunc --kernel /x/y {test}",
        )


class MirroredSuite(PlayedSuite):
    """The same, but that b fails where it would pass, and passes where it would fail."""

    def _result(self, test: str, marks: Mapping[str, str]) -> Result:
        other = {"failed": "passed", "passed": "failed"}
        b = marks.get("b", "passed")
        return super()._result(test, {**marks, "b": other.get(b, b)})


def leave(
    folder: Path,
    found: tuple[Result, ...],
    release: str = RELEASE,
    *,
    planned: Sequence[str] = (),
    failures: int = 1,
    untested: tuple[Untested, ...] = (),
) -> Ended:
    """The results file of a run that found this, and how it ended: early, where more was ``planned``."""
    judged = JudgedKernel(release, "made up", release, "made up", "v7.0", "identified by BTF", untested=untested)
    every = tuple((test, release) for test in planned or [one.test for one in found])
    run = Run("2026-01-01T00:00:00+00:00", "pytest", "tcg", "QEMU 7", (judged,), "kfunctest 1", planned=every)
    infra = any(one.outcome is Outcome.INFRA for one in found)
    status = 1 if any(one.outcome.bad for one in found) else 3 if infra or run.unaccepted else 0
    enough = len(found) < len(every)
    stopped = f"stopping after {failures} failures" if enough else ""
    return gating.leave(folder, replace(run, results=found, status=status, stopped=stopped, enough=enough))


def marks_of(kernel: Path) -> dict[str, str]:
    """What the image says about itself."""
    found = re.search(r"KF\[([^]]*)\]", (kernel / build.IMAGE).read_bytes().decode(errors="replace"))
    return dict(word.split("=") for word in found[1].split()) if found else {}


def memcontrol(marks: str, more: object = "") -> str:
    return f"/* KF[{marks}] {more} */\n"


def long_history(tree: Path, marks: str = "b=failed", base: Mapping[str, str | bytes] | None = None) -> dict[str, str]:
    """200 commits of which ten touch what is built. c137 breaks; 130 to 135 do not build, 139 to 142 not boot.

    A branch of ten commits leaves at 100 and is merged at 120.
    """
    writer = Writer(tree)
    at = writer.commit("c0", dict(base or BASE))
    branch: int | None = None
    for number in range(1, 201):
        files: dict[str, str | bytes | None] = {f"Documentation/mm/page{number % 7}.rst": f"page {number}\n"}
        if number % 3 == 0:
            files = {f"drivers/net/nic{number % 5}.c": f"int nic{number};\n"}
        if number % 40 == 5:
            files = {"kernel/fork.c": f"int fork{number};\n"}
        if number in (130, 136):
            files = {"kernel/fork.c": "#error broken\n" if number == 130 else f"int fork{number};\n"}
        if number in (137, 139, 143):
            files = {"mm/memcontrol.c": _at(number, marks, (base or BASE)["mm/memcontrol.c"])}
        parents: list[str | int] | None = None
        if number == 120:
            parents = [at, _branch(writer, branch or 0)]
            files |= {f"drivers/gpu/side{side}.c": f"int side{side};\n" for side in range(10)}
        at = writer.commit(f"c{number}", files, parents or [at])
        branch = at if number == 100 else branch
    return writer.write()


def _at(number: int, marks: str, before: str | bytes) -> str:
    text = before if isinstance(before, str) else before.decode()
    return re.sub(r"KF\[[^]]*\]", f"KF[{'boot=no' if number == 139 else marks}] at {number}", text)


def _branch(writer: Writer, at: int) -> int:
    for number in range(10):
        at = writer.commit(f"s{number}", {f"drivers/gpu/side{number}.c": f"int side{number};\n"}, [at])
    return at


def asked(tree: Path, results: Path, good: str, bad: str, **more: object) -> Asked:
    plain = Asked(
        tree=tree,
        good=git_bisect.commit_of(tree, good),
        bad=git_bisect.commit_of(tree, bad),
        tests=Selection(),
        tries=1,
        command="scripts/bisect",
        results=results,
    )
    return replace(plain, **more)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Bisected:
    """How a bisection ended: its status, and bisect.json."""

    status: int
    folder: Path
    report: dict[str, object]

    @property
    def culprit(self) -> str:
        found = self.report["culprit"] or self.report["fixed_by"]
        return str(found["subject"]) if isinstance(found, dict) else ""

    @property
    def notes(self) -> str:
        found = self.report["notes"]
        assert isinstance(found, list)
        return "\n".join(found)

    def text(self, name: str) -> str:
        return (self.folder / name).read_text()

    @property
    def steps(self) -> list[dict[str, str]]:
        found = self.report["steps"]
        assert isinstance(found, list)
        return found


def run(wanted: Asked, builds: Builds, suite: Suite) -> Bisected:
    """Bisect, and read what it left."""
    status = command.bisect(wanted, builds, suite, tuple)
    folder = (wanted.results / "bisect-latest").resolve()
    return Bisected(status, folder, json.loads((folder / "bisect.json").read_text()))


def main() -> int:
    """A process that bisects: tree, results, good, bad, and in which run it is killed."""
    tree, results_, good, bad, kills = sys.argv[1:]
    wanted = asked(Path(tree), Path(results_), good, bad)
    suite = PlayedSuite(kills=int(kills))
    try:
        return command.bisect(wanted, PlayedBuilds(Path(tree), Path(results_) / "played"), suite, tuple)
    except InfraError as error:
        sys.stdout.write(f"{error}\n")
        return 131


if __name__ == "__main__":
    sys.exit(main())
