# SPDX-License-Identifier: GPL-2.0-only
"""The reports for people: the HTML page, without a browser, and what GitHub Actions shows."""

from __future__ import annotations

import re
import resource
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from kfunctest.reports import github, html, write
from kfunctest.reports.sanitize import MOST, printable
from kfunctest.results import Outcome, Result, Run
from tests.reportruns import CUT, GOOD, HOSTILE, KERNEL, RUN, SPLAT, result

VOID = ("meta", "br", "input")


class Page(HTMLParser):
    """The elements of a page, as a browser would see them: tags with their attributes, and the text of each kind."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.opened: list[str] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.opened.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.opened.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.opened:
            self.texts[self.opened[-1]][-1] += data

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_hostile_text_is_text_in_the_page() -> None:
    """And makes no element: a page of the same tests without it has the same ones."""
    hostile = Page(html.render(RUN))
    tame_results = tuple(
        replace(found, details=found.details and "x", message=found.message and "x", log=found.log and "x",
                verifier=found.verifier and "x", splats=tuple(replace(splat, text="x") for splat in found.splats))
        for found in RUN.results
    )  # fmt: skip
    tame = Page(html.render(replace(RUN, results=tame_results)))
    assert [tag for tag, _ in hostile.tags] == [tag for tag, _ in tame.tags]
    assert [attributes for _, attributes in hostile.tags] == [attributes for _, attributes in tame.tags]
    assert "\n" + printable(HOSTILE) in hostile.texts["pre"]


def test_the_page_needs_nothing_beside_it() -> None:
    page = Page(html.render(RUN))
    assert not [tag for tag, attributes in page.tags if {"src", "srcset", "data", "action"} & set(attributes)]
    assert not [tag for tag, _ in page.tags if tag in ("link", "img", "iframe", "object")]
    assert {str(link["href"])[0] for link in page.attributes("a")} == {"#"}


def test_a_test_leads_to_the_whole_console_of_its_vm() -> None:
    """Its name has the kernel's in it, which may hold what a link takes for something else."""
    there = replace(RUN.results[1], console="console-6.12#2-1.log")
    page = html.render(replace(RUN, results=(there, replace(RUN.results[0], console=""))))
    assert page.count('class="console"') == 1
    assert 'href="./console-6.12%232-1.log">console-6.12#2-1.log</a>' in page


def test_the_page_has_every_test_the_worst_first() -> None:
    page = Page(html.render(RUN))
    tests = [test for test in page.attributes("details") if test.get("class") == "test"]
    outcomes = [str(test["data-outcome"]) for test in tests]
    assert outcomes[:6] == ["crashed", "hung", "failed", "failed", "xpassed", "infra"]
    assert len(outcomes) == len(RUN.results)
    assert [test["data-outcome"] for test in tests if "open" in test] == outcomes[:5]
    anchors = {f"#{test['id']}" for test in tests}
    assert {str(link["href"]) for link in page.attributes("a")} == anchors


def test_the_page_shows_log_splats_verifier_and_how_to_repeat() -> None:
    page = Page(html.render(RUN))
    titles = page.texts["h3"]
    assert {"to reproduce", "failure", "kernel log", "verifier", "warn"} <= set(titles)
    assert f"\n{printable(SPLAT.text)}" in page.texts["pre"]
    assert "scripts/kfunc --kernel 7.2-slim selftests/test_usage.py::test_hangs" in "".join(page.texts["pre"])
    facts = dict(zip(page.texts["dt"], page.texts["dd"], strict=True))
    assert facts["accelerator"] == RUN.accelerator
    assert facts["patch"] == "0123456789ab memcg: a <b>patch</b> & more"


@pytest.mark.parametrize(
    "run, verdict",
    [
        (RUN, "fail"),
        (GOOD, "pass"),
        (CUT, "fail"),
        (replace(CUT, between=()), "not judged"),
        (replace(GOOD, status=None), "not judged"),
        (replace(GOOD, status=3), "not judged"),
        (replace(GOOD, results=(), planned=()), "nothing judged"),
        (replace(GOOD, results=(result("test_passes", Outcome.SKIPPED),)), "nothing judged"),
    ],
    ids=["all", "good", "cut", "interrupted", "no end", "infra", "empty", "skipped"],
)
def test_the_page_s_verdict(run: Run, verdict: str) -> None:
    assert f"<title>{verdict}: {KERNEL.id} by v7.0" in html.render(run)


def test_a_flooded_console_is_cut_from_its_beginning_and_that_is_said() -> None:
    flooded = replace(RUN.results[1], log="x\n" * 5_000_000 + "the end")
    page = html.render(replace(RUN, results=(flooded,)))
    assert len(page) < 2 * MOST
    assert "the end</pre>" in page
    assert "[the first 9800007 characters are in results.jsonl]" in page


def test_github_is_told_of_each_failure_at_its_line() -> None:
    told = list(github.errors(RUN))
    assert len(told) == 6
    assert told[1] == (
        "::error file=selftests/test_usage.py,line=17,title=crashed%3A test_crashes on 7.2-slim::crashed: Kernel panic "
        "- not syncing: VFS: Unable to mount root fs%0Ascripts/kfunc --kernel 7.2-slim "
        "selftests/test_usage.py::test_crashes"
    )
    assert not any(re.search("[\x00-\x1f]", line) for line in told)
    assert "%25 raw %25" in told[0]
    assert list(github.errors(GOOD)) == []
    assert len(list(github.errors(CUT))) == 3


def test_github_is_not_flooded() -> None:
    many = tuple(result(f"test_{number}", Outcome.FAILED) for number in range(50))
    told = list(github.errors(replace(RUN, results=many, planned=())))
    assert len(told) == github.MOST + 1
    assert told[-1] == "::error title=kfunctest::40 more are in the step's summary"


def test_github_s_summary_counts_and_lists() -> None:
    text = github.summary(RUN)
    header, _, row = text.splitlines()[2:5]
    cells = dict(zip(*([cell.strip() for cell in line.split("|")] for line in (header, row)), strict=True))
    assert cells["kernel"] == "7.2-slim"
    assert (cells["passed"], cells["failed"], cells["crashed"], cells["infra"]) == ("1", "2", "1", "1")
    assert "<code>scripts/kfunc --kernel 7.2-slim selftests/test&#95;usage.py::test&#95;hangs</code>" in text
    assert text.count("\n- <code>") == 6
    assert f"<dd>{RUN.accelerator}</dd>" in text


def test_hostile_text_is_text_in_github_s_summary() -> None:
    """Neither HTML nor Markdown of it is left."""
    named = result("test_x", Outcome.FAILED, message="<script> [link](javascript:x) `code` **bold** | cell <details>")
    text = github.summary(replace(RUN, results=(named,), planned=()))
    line = next(line for line in text.splitlines() if line.startswith("- "))
    assert set(re.findall(r"<(/?\w+)", line)) == {"code", "/code", "br"}
    assert not re.search(r"[\[\]*|`\\]", line)


def test_a_report_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    write.everything(RUN, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert before.keys() == set(write.FILES)

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16, limits[1]))  # bytes: as on a disk that fills up half-way
    try:
        with pytest.raises(OSError, match="File too large"):
            write.everything(GOOD, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_page_shows_what_tests_recorded_as_a_table() -> None:
    """One for each function and kernel, with a row for each parameter; nothing where nothing was recorded."""
    recorded = [
        Result(f"x.py::test_may_call[{name}]", KERNEL.id, Outcome.PASSED, properties=(("get", "yes"), ("<put>", word)))
        for name, word in (("tc", "no"), ("xdp", "<b>"))
    ]
    page = html.render(replace(RUN, results=(GOOD.results[0], *recorded)))
    (table,) = re.findall(r'<details class="table">(.*?)</details>', page, re.DOTALL)
    assert f"may call: {KERNEL.id}" in table
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line) for line in re.findall(r"<tr>.*?</tr>", table)]
    assert cells == [["", "get", "&lt;put&gt;"], ["tc", "yes", "no"], ["xdp", "yes", "&lt;b&gt;"]]
    assert 'class="table"' not in html.render(replace(RUN, results=GOOD.results))
