# SPDX-License-Identifier: GPL-2.0-only
"""The text that goes to the maintainers, addressed by the tree's own get_maintainer.pl where it has one."""

from __future__ import annotations

import re
import tempfile
import textwrap
from pathlib import Path
from typing import Final

from kfunctest import proc
from kfunctest.bisect.git_bisect import Commit, History
from kfunctest.bisect.report import Report
from kfunctest.bisect.types import BREAK

SCRIPT: Final = "scripts/get_maintainer.pl"
#: Where regressions are tracked. (Documentation/admin-guide/reporting-regressions.rst)
REGRESSIONS: Final = "regressions@lists.linux.dev"
_SECONDS: Final = 120.0
_WIDTH: Final = 72
#: A role that the script puts behind an address: "(maintainer:MEMCG)", "(open list)".
_ROLE: Final = re.compile(r"\s+\([^()]*(?:\([^()]*\)[^()]*)*\)$")


def recipients(history: History, commit: str) -> tuple[str, ...]:
    """Whom the tree's get_maintainer.pl names for this commit; nobody where there is no such script, or no perl.

    The script and MAINTAINERS are those of the commit itself. It asks no git, and so needs no tree.
    """
    perl = proc.find("perl")
    texts = {name: history.git("cat-file", "blob", f"{commit}:{name}", check=False) for name in (SCRIPT, "MAINTAINERS")}
    if perl is None or any(done.status for done in texts.values()):
        return ()
    with tempfile.TemporaryDirectory(prefix="kfunctest-mail-") as scratch:
        for name, done in texts.items():
            path = Path(scratch, name)
            path.parent.mkdir(exist_ok=True)
            path.write_text(done.stdout)
        (patch := Path(scratch, "commit.patch")).write_text(history.patch(commit))
        words = ("--no-tree", "--no-git", "--no-git-fallback", "--no-rolestats", "--no-roles")
        argv: list[str | Path] = [perl, Path(scratch, SCRIPT), *words, patch]
        done = proc.run(argv, seconds=_SECONDS, cwd=Path(scratch), env={"HOME": scratch}, check=False)
    lines = [_ROLE.sub("", line.strip()) for line in done.stdout.splitlines()]
    return tuple(dict.fromkeys(line for line in lines if "@" in line)) if done.status == 0 else ()


def text(report: Report) -> str:
    """The whole mail: headers, a line of blame, the evidence, and how it was found."""
    found = report.found
    if not found.culprit:
        return ""
    commit = report.commits[found.culprit]
    test, said, again = report.evidence()
    which = "that commit" if found.terms is BREAK else "its parent"
    others = [address for address in report.to if address not in commit.author]
    copies = [*others, REGRESSIONS] if found.terms is BREAK else others
    headers = [f"To: {commit.author}", *(["Cc: " + ",\n    ".join(copies)] if copies else [])]
    body = [
        _filled(_summary(report, commit)),
        f"  {test}\n\n{textwrap.indent(textwrap.fill(said, _WIDTH - 2), '  ')}",
        _filled(_certainty(report)),
        *([f"To repeat it, with {which} built in LINUX:\n\n  {_elsewhere(again)}"] if again else []),
        *([_with(report)] if report.patches or report.flavours else []),
        f"git bisect log:\n\n{textwrap.indent(found.log.rstrip(), '  ')}",
        *([f"#regzbot introduced: {commit.id}"] if found.terms is BREAK else []),
    ]
    subject = "[REGRESSION]" if found.terms is BREAK else "[FIXED]"
    return "\n".join([*headers, f"Subject: {subject} {commit.subject}", "", "\n\n".join(body), ""])


def _summary(report: Report, commit: Commit) -> str:
    parent = "parent" if len(commit.parents) < 2 else "parents"
    if report.found.terms is BREAK:
        return f"Since {commit} a test of the memcg BPF kfuncs fails that passes on its {parent}:"
    return f"A test of the memcg BPF kfuncs that failed was fixed by {commit}. On its {parent} it fails:"


def _elsewhere(command: str) -> str:
    """A command line without the place that the kernel has on this machine."""
    return re.sub(r"--kernel[ =]\S+", "--kernel LINUX", command)


def _certainty(report: Report) -> str:
    found = report.found
    first, *parents = found.again
    seen = [f"it is bad in {first.bad} of {first.runs} runs"]
    seen += [f"{report.named(one.commit)} in {one.bad} of {one.runs}" for one in parents]
    doubt = "" if found.confirmed else " This was not confirmed when both were run again."
    return f"Found by bisection in {len(found.steps)} steps; {', '.join(seen)}.{doubt}"


def _with(report: Report) -> str:
    lines = [f"  {id_} ({subject})" for id_, subject in report.patches]
    lines += [f"  flavours {', '.join(report.flavours)}"] if report.flavours else []
    return "\n".join(["Each commit was built with", "", *lines])


def _filled(paragraph: str) -> str:
    return textwrap.fill(paragraph, _WIDTH, break_on_hyphens=False)
