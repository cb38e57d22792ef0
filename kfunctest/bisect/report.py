# SPDX-License-Identifier: GPL-2.0-only
"""What a bisection leaves: bisect.json, report.md, bisect.log for ``git bisect replay``, and mail.txt."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from kfunctest import files
from kfunctest.bisect import trials
from kfunctest.bisect.git_bisect import Commit, History
from kfunctest.bisect.loop import Checked, Found, Step
from kfunctest.bisect.types import BREAK, FIX, Trial, Verdict
from kfunctest.reports.sanitize import one_line

JSON: Final = "bisect.json"
MARKDOWN: Final = "report.md"
LOG: Final = "bisect.log"
MAIL: Final = "mail.txt"
#: Raised with every change that an older reader would misunderstand.
FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class Facts:
    """What the report says beside what was found. ``seconds`` are this run's, of which earlier ones know nothing."""

    command: str
    started: str
    seconds: float
    tries: int
    project: str = ""
    accelerator: str = ""
    versions: str = ""
    #: Trials that an earlier run of this bisection had made.
    recalled: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that the files are written from."""

    found: Found
    facts: Facts
    #: Every commit that is named, by its id.
    commits: Mapping[str, Commit]
    #: The trials of the culprit's image, and of that of a parent that is what a parent should be.
    culprit: tuple[Trial, ...] = ()
    parent: tuple[Trial, ...] = ()
    patches: tuple[tuple[str, str], ...] = ()
    flavours: tuple[str, ...] = ()
    to: tuple[str, ...] = ()

    def named(self, commit: str) -> str:
        """A commit by its abbreviation and subject."""
        return str(self.commits.get(commit, commit[:12]))

    def evidence(self) -> tuple[str, str, str]:
        """The failing test, what it said on the culprit (or before the fix), and the line that repeats it."""
        for trial in reversed(self.failing):
            for test in trials.bad_in(trial, self.found.ends.voters):
                return test, trial.messages.get(test, trial.outcomes[test]), trial.reproduce.get(test, "")
        return "", "", ""

    @property
    def failing(self) -> tuple[Trial, ...]:
        """The trials that show what fails: the culprit's, or those before the fix."""
        return self.culprit if self.found.terms is BREAK else self.parent

    @property
    def elsewhere(self) -> tuple[str, ...]:
        """Tests that separate the ends, and passed each time that they were run where others failed."""
        voters = self.found.ends.voters
        bad = {test for trial in self.failing for test in trials.bad_in(trial, voters)}
        passed = {test for trial in self.failing for test in trials.good_in(trial, voters)}
        return tuple(test for test in voters if test in passed - bad) if bad else ()

    @property
    def untested(self) -> tuple[str, ...]:
        """What no test covers of the kernels on the path, of the culprit's and of its parent's."""
        judged = [trial for step in self.found.steps for trial in step.verdict.trials]
        return tuple(dict.fromkeys(name for one in (*judged, *self.culprit, *self.parent) for name in one.untested))

    @property
    def chance(self) -> float:
        """How probable it is that one commit that is bad passed for good, by the bad end's own rate."""
        ends = self.found.ends
        return (1.0 - ends.bad / ends.runs) ** self.facts.tries if ends.flaky else 0.0


def commits(found: Found, history: History) -> dict[str, Commit]:
    """Every commit that a report of ``found`` names."""
    ids = [found.good, found.bad, found.culprit, *found.suspects, *(one.commit for one in found.again)]
    ids += [step.verdict.commit for step in found.steps] + ([found.replaced[0]] if found.replaced else [])
    return {id_: history.commit(id_) for id_ in dict.fromkeys(filter(None, ids))}


def as_data(report: Report) -> dict[str, Any]:
    """The report for programs."""
    found = report.found
    test, said, again = report.evidence()
    commit = asdict(report.commits[found.culprit]) if found.culprit else None
    return {
        "format": FORMAT,
        "status": "found" if found.culprit else "range",
        "confirmed": found.confirmed,
        "find": found.terms.find,
        "culprit": commit if found.terms is BREAK else None,
        "fixed_by": None if found.terms is BREAK else commit,
        "suspects": list(found.suspects),
        "good": found.good,
        "bad": found.bad,
        "replaced_good": list(found.replaced) if found.replaced else None,
        "ends": asdict(found.ends),
        "evidence": {"test": test, "message": said, "reproduce": again},
        "other_tests": list(report.elsewhere),
        "again": [asdict(one) for one in found.again],
        "steps": [_step(step) for step in found.steps],
        "notes": list(found.notes),
        "untested": list(report.untested),
        "patches": [list(pair) for pair in report.patches],
        "flavours": list(report.flavours),
        **asdict(report.facts),
    }


def _step(step: Step) -> dict[str, Any]:
    verdict, place = step.verdict, step.verdict.place
    return {
        "commit": verdict.commit,
        "verdict": str(verdict.kind),
        "reason": verdict.reason,
        "how": how(verdict),
        "seconds": round(step.seconds, 1),
        "built": bool(place.made) and not place.same_as,
        "same_as": place.same_as,
        "argument": place.argument,
        "image": place.image,
        "results": [trial.folder for trial in verdict.trials if trial.folder],
    }


def how(verdict: Verdict) -> str:
    """Where a verdict comes from, in a few words."""
    place = verdict.place
    if place.same_as:
        return f"not built: as {place.same_as[:12]}, since {place.argument}"
    if not place.made:
        return "no kernel came of it"
    if verdict.trials and all(trial.commit != verdict.commit for trial in verdict.trials):
        return f"built to the same image as {verdict.trials[0].commit[:12]}, and not run"
    return "built and run"


def markdown(report: Report) -> str:
    """The report for people."""
    found = report.found
    lines = [f"# {_title(report)}", "", *_culprit(report), *_ends(report), "", "## The path", ""]
    lines += ["| step | commit | verdict | why | how | time |", "|---|---|---|---|---|---|"]
    for number, step in enumerate(found.steps, 1):
        words = (_cell(report.named(step.verdict.commit)), str(step.verdict.kind), _cell(step.verdict.reason))
        lines.append(f"| {number} | {' | '.join(words)} | {_cell(how(step.verdict))} | {step.seconds:.0f} s |")
    built = sum(1 for step in found.steps if step.verdict.place.made and not step.verdict.place.same_as)
    lines += ["", f"{len(found.steps)} commits judged, {built} of them built.", ""]
    notes = [
        *found.notes,
        *(f"some of these kernels have the {name}, which no test covers" for name in report.untested),
    ]
    lines += [f"* {note}" for note in notes] + ([""] if notes else [])
    facts = report.facts
    lines += ["## How", "", f"* `{facts.command}`", f"* started {facts.started}, {facts.seconds / 60:.1f} minutes"]
    if facts.recalled:
        lines.append(f"* {facts.recalled} runs of earlier, interrupted attempts were taken over")
    lines += [f"* {words}" for words in (facts.project, facts.accelerator, facts.versions) if words]
    lines += [f"* with the patch {id_} ({subject})" for id_, subject in report.patches]
    lines += [f"* flavours: {', '.join(report.flavours)}"] if report.flavours else []
    return "\n".join([*lines, "", "## git bisect log", "", "```", found.log.rstrip(), "```", ""])


def _title(report: Report) -> str:
    found = report.found
    doubt = "" if found.confirmed else ", but not confirmed"
    if not found.culprit:
        return f"The {found.terms.noun} is one of {len(found.suspects)} commits"
    if found.terms is FIX:
        return f"Fixed by {report.named(found.culprit)}{doubt}"
    return f"{report.named(found.culprit)} is the first bad commit{doubt}"


def _culprit(report: Report) -> list[str]:
    found = report.found
    if not found.culprit:
        return [
            "What lies between cannot be tested. It is one of:",
            "",
            *(f"* {_cell(report.named(one))}" for one in found.suspects),
            "",
        ]
    commit = report.commits[found.culprit]
    test, said, again = report.evidence()
    where = "fails there" if found.terms is BREAK else "fails on its parent, and passes there"
    shown = [f"* {path}" for path in commit.files[:20]]
    more = [f"* and {len(commit.files) - 20} more"] if len(commit.files) > 20 else []
    lines = [f"commit {commit.id}", f"Author: {commit.author}", f"Date: {commit.date}", ""]
    lines += ["It changes", "", *shown, *more, "", f"`{test}` {where}:", "", f"    {said}", ""]
    lines += [f"    {again}", ""] if again else []
    lines += ["Run again at the end:", "", "| | | verdict | bad runs |", "|---|---|---|---|"]
    lines += [_again(report, number, one) for number, one in enumerate(found.again)]
    if report.elsewhere:
        tests = ", ".join(f"`{other}` ({_runs(report, other)})" for other in report.elsewhere)
        there = "there" if found.terms is BREAK else "on its parent"
        lines += ["", f"Another commit seems to have {found.terms.verb} these, for they pass {there}: {tests}"]
    return [*lines, ""]


def _runs(report: Report, test: str) -> str:
    runs = sum(test in trial.outcomes for trial in report.failing)
    return f"{runs} run{'' if runs == 1 else 's'}"


def _again(report: Report, number: int, one: Checked) -> str:
    who = "parent" if number else report.found.terms.noun
    return f"| {who} | {_cell(report.named(one.commit))} | {one.kind} | {one.bad} of {one.runs} |"


def _ends(report: Report) -> list[str]:
    found, ends = report.found, report.found.ends
    lines = ["## The ends", "", f"* good: {report.named(found.good)}", f"* bad: {report.named(found.bad)}"]
    if found.replaced:
        lines.append(f"* {report.named(found.replaced[0])} was said to be good, and is not: {found.replaced[1]}")
    lines.append(f"* the bad end was bad in {ends.bad} of {ends.runs} runs")
    if ends.flaky:
        lines.append(
            f"* so every good commit was run {report.facts.tries} times; at that rate a bad one passes for good with a "
            f"probability of {report.chance:.1%}"
        )
    lines += ["", "These tests separate them, and only they have a vote:", "", *(f"* `{test}`" for test in ends.voters)]
    if ends.void:
        lines += ["", "Bad at the bad end, and not reliably good at the good one, so without a vote:", ""]
        lines += [f"* `{test}`" for test in ends.void]
    return lines


def _cell(text: str) -> str:
    return one_line(text).replace("|", "\\|")


def write(folder: Path, report: Report, mail: str) -> None:
    """Write the files, each whole or not at all. Raises OSError."""
    texts = {
        JSON: json.dumps(as_data(report), indent=1, default=str) + "\n",
        MARKDOWN: markdown(report),
        LOG: report.found.log,
        MAIL: mail,
    }
    for name, text in texts.items():
        files.write(folder / name, text)
