# SPDX-License-Identifier: GPL-2.0-only
"""What a gate shows of a matrix, as text, as a page and to CI: complete, and nothing in it is obeyed."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from kfunctest.gate import baseline, ci, html, text, verdict
from kfunctest.gate.lists import Entry, Lists
from kfunctest.gate.matrix import Matrix, Row
from kfunctest.gate.text import Page
from tests.gating import WARNING, A, row

CHECKOUT = Path(__file__).resolve().parents[1]
EVIL = "::error::\x1b[2J\x00</style></title><script>alert(1)</script>\u2028%0A\r\n::endgroup::\udc80````"


def page(*rows: Row, lists: Lists | None = None, before: tuple[Row, ...] = ()) -> Page:
    matrix = Matrix("2026-01-01", "scripts/gate", rows)
    by_name = {one.kernel: lists or Lists() for one in rows}
    known = baseline.of(replace(matrix, rows=before))
    return Page(matrix, by_name, known, verdict.judge(matrix, by_name, known))


@pytest.fixture
def evil() -> Page:
    """A matrix whose kernel says what would be markup, a command or an escape, wherever it may speak."""
    bad = row(a="failed", b="passed", between=[replace(WARNING, line=EVIL)])
    assert bad.run
    results = tuple(replace(one, message=EVIL, test=f"{one.test}[{EVIL}]") for one in bad.run.results)
    return page(replace(bad, run=replace(bad.run, results=results)), Row("7.3", problem=EVIL))


class Seen(HTMLParser):
    """Tags and text of a page."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.badges: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        found = dict(attrs)
        if tag == "span":
            self.badges.append(found["class"] or "")
        if tag == "a":
            self.links.append(found["href"] or "")

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_whole_matrix_has_every_test_on_every_kernel() -> None:
    again = row(a="passed").run
    assert again
    rows = (replace(row(a="failed", b="passed", c="skipped"), repeats=(again,)), row("7.3", a="passed", c="hung"))
    lines = text.whole(page(*rows)).splitlines()
    assert [line.split() for line in lines[3:10]] == [
        ["[1]", "[2]"],
        ["test_a"],
        ["test_a", "F>.", "."],
        ["test_b"],
        ["test_b", "."],
        ["test_c"],
        ["test_c", "-", "H"],
    ]
    assert lines[-1] == "gate: the kernel is bad (2 of 2 kernels judged, 2 bad)"


def test_what_does_not_count_is_marked() -> None:
    lists = Lists(deny=(Entry("test_a", "known", "DENYLIST:1"),))
    shown = page(row(a="crashed", b="failed", c="passed"), lists=lists, before=(row(b="failed"),))
    assert [shown.cell(shown.matrix.rows[0], test) for test in shown.matrix.tests] == ["(C)", "[F]", "."]


def test_the_terminal_shows_what_asks_for_attention() -> None:
    said = text.terminal(page(row(a="passed", b="failed"), row("7.3", a="passed", b="passed"), Row("6", absent=True)))
    assert "  test_b  " in said
    assert "  test_a  " not in said
    assert "1 other tests are as they should be on every kernel" in said
    assert "none of the kfuncs, as kernels.toml says" in said


def test_a_test_that_one_kernel_has_no_result_of_asks_for_attention() -> None:
    assert page(row(a="passed"), row("7.3", a="passed", b="passed")).remarkable == ["selftests/test_b.py::test_b"]


def test_a_page_shows_the_matrix_and_links_reports(tmp_path: Path) -> None:
    run = tmp_path / "7.2" / "first" / "20260101-000000-1"
    run.mkdir(parents=True)
    (run / html.REPORT).touch()
    judged = replace(row(a="failed", b="passed"), folder=str(run.relative_to(tmp_path)))
    seen = Seen(html.render(page(judged, row("7.3", a="passed", b="hung")), tmp_path))
    assert seen.badges == ["badge bad", "badge failed bad", "badge passed good", "badge passed good", "badge hung bad"]
    assert seen.links == ["7.2/first/20260101-000000-1/report.html"]
    assert f"scripts/kfunc {A}" in seen.text


def test_nothing_that_a_kernel_says_is_markup(evil: Page, tmp_path: Path) -> None:
    content = html.render(evil, tmp_path)
    content.encode()
    assert "script" not in Seen(content).tags
    assert not {"\x00", "\x1b"} & set(content)
    assert "alert(1)" in Seen(content).text


def test_nothing_that_a_kernel_says_is_a_command_or_an_escape(
    evil: Page, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = tmp_path / "summary"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    ci.report(evil)
    commands = capsys.readouterr().out.split("\n")[:-1]
    assert [line.partition(" ")[0] for line in commands] == ["::error"] * 2 + ["::warning"]
    said = text.terminal(evil)
    said.encode()
    for content in ("\n".join(commands), said, text.whole(evil), summary.read_text()):
        assert not {"\x00", "\x1b", "\r", "\u2028"} & set(content)
        assert not [line for line in content.split("\n")[3:] if line.startswith("::endgroup")]
    fences = [line for line in summary.read_text().splitlines() if line and not line.strip("`")]
    assert len(fences) == 4
    assert set(fences) == {"`" * 5}


def test_an_annotation_names_place_kernel_and_test_and_how_to_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    bad = row(a="failed")
    assert bad.run
    result = replace(bad.run.results[0], file="selftests/test_a.py", line=7, message="50%, seen: 2")
    shown = page(replace(bad, run=replace(bad.run, results=(result,))))
    title = f"title=7.2 {A}".replace(":", "%3A")
    assert ci.commands(shown) == [
        f"::error file=selftests/test_a.py,line=7,{title}::failed: 50%25, seen: 2%0Ascripts/kfunc {A}"
    ]


def test_folds_are_closed_when_something_is_raised(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("GITHUB_ACTIONS", "GITLAB_CI"):
        monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
        monkeypatch.setenv(name, "true")
        with pytest.raises(KeyError), ci.fold("7.2-slim"):
            raise KeyError
    said = capsys.readouterr().out
    token = said.partition("::stop-commands::")[2].partition("\n")[0]
    assert said.startswith(f"::group::7.2-slim\n::stop-commands::{token}\n\n::{token}::\n::endgroup::\n")
    assert len(token) == 32
    assert "section_start:" in said
    assert ":7_2_slim\r" in said.partition("section_end:")[2]


def test_the_ci_definitions_judge_the_kernels_of_the_gate() -> None:
    from kfunctest.kernels import named

    wanted = [name for name, entry in named.load().items() if entry.gate]
    for file in (".github/workflows/kfunctest.yml", ".gitlab-ci.yml"):
        lines = [line.strip() for line in (CHECKOUT / file).read_text().splitlines()]
        names = [line[3:-1] for line in lines if line.startswith('- "')]
        assert names == wanted, file


@pytest.mark.parametrize(
    "file, limit, unit",
    [
        (".github/workflows/kfunctest.yml", r"timeout-minutes: (\d+)", 1),
        (".gitlab-ci.yml", r"timeout: (\d+) hours", 60),
    ],
)
def test_a_gate_of_ci_ends_before_its_job_is_ended(file: str, limit: str, unit: int) -> None:
    """A job that is ended by the CI leaves no record."""
    text = (CHECKOUT / file).read_text()
    gate = re.search(r"scripts/gate --minutes (\d+) ", text)
    assert gate, file
    assert int(gate[1]) + 30 <= max(int(found) * unit for found in re.findall(limit, text))
