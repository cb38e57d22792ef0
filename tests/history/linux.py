# SPDX-License-Identifier: GPL-2.0-only
"""Histories of a real kernel: linux-source with commits of our own on it, the same ones each time they are made.

``python -m tests.history.linux whole`` makes one where it is not yet, and prints scripts/bisect's words for it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from kfunctest import cache, proc
from kfunctest.kernels import source
from kfunctest.kernels.gitstore import clean_environment
from tests.histories import Writer

SOURCE = "debian:7.2"
TEST = "selftests/test_usage.py::test_usage_equals_memory_current"
#: What the bad commit makes of usage: pages in the place of bytes; or that in every second boot.
BUGS = {
    "steady": "\treturn page_counter_read(&memcg->memory);\n",
    "flaky": "\tstatic int odd = -1;\n\n\tif (odd < 0)\n\t\todd = get_random_u8() & 1;\n"
    "\treturn page_counter_read(&memcg->memory) * (odd ? 1 : PAGE_SIZE);\n",
}
KFUNCS, FORK = "mm/bpf_memcontrol.c", "kernel/fork.c"
_RIGHT = "\treturn page_counter_read(&memcg->memory) * PAGE_SIZE;\n"
_DEAD = '\nstatic int __init kfunctest_dies(void)\n{\n\tpanic("made up");\n}\nearly_initcall(kfunctest_dies);\n'
#: How histories are made; raise it when that changes.
_FORMAT = "history-1"


def kfuncs(text: str, *, bug: str = "", dead: bool = False, number: int = 0) -> str:
    """``mm/bpf_memcontrol.c`` with a bug, with a panic at boot, with some harmless change."""
    assert _RIGHT in text
    if bug:
        text = text.replace("#include <linux/bpf.h>\n", "#include <linux/bpf.h>\n#include <linux/random.h>\n")
        text = text.replace(_RIGHT, BUGS[bug])
    return text + (_DEAD if dead else "") + (f"\n/* {number} */\n" if number else "")


def whole(writer: Writer, base: str, texts: Mapping[str, str], bug: str) -> None:
    """200 commits, of which nine touch what is built. c137 is the first bad one.

    130 to 135 do not build, 139 to 142 do not boot: git
    begins in both. A branch leaves at 100 and is merged at 120.
    """
    at: int | str = base
    side = 0
    for number in range(1, 201):
        files: dict[str, str | bytes | None] = {f"Documentation/mm/kfunctest{number % 7}.rst": f"Page {number}\n"}
        if number % 3 == 0:
            files = {f"drivers/gpu/kfunctest{number % 5}.c": f"int kfunctest{number};\n"}
        elif number % 7 == 0:
            files = {f"arch/arm64/kernel/kfunctest{number % 4}.c": f"int kfunctest{number};\n"}
        if number in (130, 136):
            files = {FORK: texts[FORK] + ("\n#error half of a change\n" if number == 130 else "\n/* 136 */\n")}
        if number in (20, 90, 137, 139, 143, 170):
            bad = bug if number >= 137 else ""
            files = {KFUNCS: kfuncs(texts[KFUNCS], bug=bad, dead=number == 139, number=number)}
        parents: list[str | int] = [at]
        if number == 120:
            parents.append(side)
            files |= {f"drivers/gpu/kfunctest_side{one}.c": f"int side{one};\n" for one in range(10)}
            files["lib/bsearch.c"] = texts["lib/bsearch.c"] + "\n/* side */\n"
        at = writer.commit(f"c{number}", files, parents)
        for one in range(10) if number == 100 else ():
            more = {"lib/bsearch.c": texts["lib/bsearch.c"] + "\n/* side */\n"} if one == 5 else {}
            side = writer.commit(
                f"s{one}", {f"drivers/gpu/kfunctest_side{one}.c": f"int side{one};\n", **more}, [side or at]
            )


def small(writer: Writer, base: str, texts: Mapping[str, str], bug: str) -> None:
    """Six commits: c4 is the bad one, and the only one that touches what is built."""
    at: int | str = base
    for number in range(1, 7):
        files: dict[str, str | bytes | None] = {f"Documentation/mm/kfunctest{number}.rst": f"Page {number}\n"}
        if number == 4:
            files = {KFUNCS: kfuncs(texts[KFUNCS], bug=bug, number=number)}
        at = writer.commit(f"c{number}", files, [at])


@dataclass(frozen=True, slots=True)
class History:
    """A repository with nothing checked out, the commit that the history begins with, and the branch that ends it."""

    tree: Path
    base: str
    branch: str


KINDS: Mapping[str, tuple[Callable[[Writer, str, Mapping[str, str], str], None], str]] = {
    "whole": (whole, "steady"),
    "flaky": (whole, "flaky"),
    "small": (small, "steady"),
}


def made(kind: str) -> History:
    """The history of this kind. All are in one repository, so that all are built in one place."""
    of = source.resolve(SOURCE)
    texts = {name: of.store.text(of.tree, name) or "" for name in (KFUNCS, FORK, "lib/bsearch.c")}
    build, bug = KINDS[kind]
    folder = cache.root() / "history" / "linux"
    git = [proc.need("git"), "-C", str(folder)]
    env = clean_environment()
    branch = f"{kind}-{cache.digest(_FORMAT, of.tree, Path(__file__).read_text())[:8]}"
    who = {f"GIT_{role}_{what}": of_it for role in ("AUTHOR", "COMMITTER") for what, of_it in _WHO.items()}
    with cache.locked("history"):
        folder.mkdir(parents=True, exist_ok=True)
        proc.run([*git, "-c", "init.defaultBranch=main", "init", "--quiet"], seconds=60, env=env)
        (folder / ".git" / "objects" / "info" / "alternates").write_text(f"{of.store.folder / 'objects'}\n")
        words = ("commit-tree", "-m", f"linux-source of {SOURCE}", of.tree)
        base = proc.run([*git, *words], seconds=60, env=clean_environment(**who)).stdout.strip()
        if proc.run([*git, "rev-parse", "--quiet", "--verify", branch], seconds=60, env=env, check=False).status:
            build(writer := Writer(folder, branch), base, texts, bug)
            writer.write()
    return History(folder, base, branch)


_WHO = {"NAME": "A U Thor", "EMAIL": "author@example.org", "DATE": "1700000000 +0000"}


if __name__ == "__main__":
    found = made(sys.argv[1])
    sys.stdout.write(f"--tree {found.tree} --good {found.base} --bad {found.branch}\n")
