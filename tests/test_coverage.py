# SPDX-License-Identifier: GPL-2.0-only
"""What scripts/coverage makes of what kernels counted."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kfunctest import proc
from kfunctest.coverage import report
from kfunctest.coverage.report import BELOW, WHOLE, Excuse, Line
from kfunctest.errors import InfraError, SpecError

SOURCE = """\
int usage(int memcg)
{
	if (memcg < 0)
		return -1;
	return memcg * 4096;
}

int never(void)
{
	return 1;
}
"""
PROGRAM = "int usage(int);\nint main(void) { return usage(3) != 3 * 4096; }\n"


def line(number: int, text: str, count: int, *branches: int, file: str = WHOLE, function: str = "usage") -> Line:
    return Line(file, number, function, text, count, branches)


@pytest.fixture
def counted(tmp_path: Path) -> tuple[Path, Path]:
    """The notes of an object like those of a kernel, and the counters of two programs that ran it: two boots."""
    src, obj, notes, boots = (tmp_path / name for name in ("src", "obj", "notes", "boots"))
    for folder in (src / "mm", obj / "mm", notes / "mm"):
        folder.mkdir(parents=True)
    (src / WHOLE).write_text(SOURCE)
    (notes / WHOLE).write_text(SOURCE)
    (obj / "main.c").write_text(PROGRAM)
    gcc = [proc.need("gcc"), "-fprofile-arcs", "-ftest-coverage"]
    place = obj / Path(WHOLE).with_suffix(".o")
    proc.run([*gcc, f"-ffile-prefix-map={src}/=", "-c", "-o", place, src / WHOLE], seconds=60, cwd=obj)
    proc.run([gcc[0], "-fprofile-arcs", "-o", "main", "main.c", place], seconds=60, cwd=obj)
    (notes / WHOLE).with_suffix(".gcno").write_bytes(place.with_suffix(".gcno").read_bytes())
    for boot in ("console-1", "console-2"):
        proc.run([obj / "main"], seconds=60)
        data = place.with_suffix(".gcda")
        (boots / boot).mkdir(parents=True)
        data.rename(boots / boot / data.name)
    return notes, boots


def test_the_counters_of_all_boots_are_added_up(counted: tuple[Path, Path], tmp_path: Path) -> None:
    lines = report.gather(*counted, tmp_path / "report")
    assert {one.text: one.count for one in lines if one.text.startswith(("if", "return"))} == {
        "if (memcg < 0)": 2,
        "return -1;": 0,
        "return memcg * 4096;": 2,
        "return 1;": 0,
    }
    assert [one.branches for one in lines if one.text == "if (memcg < 0)"] == [(0, 2)]


def test_there_is_a_page_to_look_at(counted: tuple[Path, Path], tmp_path: Path) -> None:
    report.gather(*counted, tmp_path / "report")
    pages = [re.sub("<[^>]*>", "", page.read_text()) for page in (tmp_path / "report").glob("coverage*.html")]
    assert any("return memcg * 4096;" in page for page in pages), "expected a page that shows the source"


def test_no_counters_are_no_coverage(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    with pytest.raises(InfraError, match="no boot left any counters"):
        report.gather(tmp_path / "notes", tmp_path / "boots", tmp_path / "report")


def test_of_the_file_below_only_what_the_kfuncs_rest_on_counts(tmp_path: Path) -> None:
    (tmp_path / "mm").mkdir()
    (tmp_path / BELOW).write_text("a\nb\n")
    of = [
        {"line_number": number, "function_name": name, "count": 1, "branches": []}
        for number, name in ((1, "memcg_events"), (2, "mem_cgroup_swapin_charge_folio"))
    ]
    found = report.read({"files": [{"file": BELOW, "lines": of}, {"file": "mm/slub.c", "lines": of}]}, tmp_path)
    assert [(one.function, one.text) for one in found] == [("memcg_events", "a")]


@pytest.mark.parametrize(
    "one, missing",
    [
        (line(1, "x", 0), "never run"),
        (line(1, "x", 0, 0, 0), "never run"),
        (line(1, "x", 7, 7, 0), "1 of 2 branches taken"),
        (line(1, "x", 7, 3, 4), ""),
        (line(1, "x", 7), ""),
    ],
)
def test_what_is_missing_of_a_line_is_told(one: Line, missing: str) -> None:
    assert one.missing == missing


def test_a_missing_line_needs_a_reason_of_its_own() -> None:
    known = [Excuse("bpf_memcontrol_init", "pr_warn(", "registration does not fail")]
    excused = line(1, 'pr_warn("error");', 0, function="bpf_memcontrol_init")
    elsewhere = line(2, 'pr_warn("error");', 0)
    below = line(3, "x = 0;", 0, file=BELOW, function="memcg_page_state")
    assert report.unexcused([excused, elsewhere, below], known) == [elsewhere]
    text = report.table([excused, elsewhere, below], known)
    assert f'{WHOLE}:1: never run: pr_warn("error"); (registration does not fail)' in text
    assert f'{WHOLE}:2: never run: pr_warn("error");\n' in text
    assert f"{BELOW}:3: never run: x = 0;" in text


def test_the_reasons_of_the_project_are_whole() -> None:
    assert [one for one in report.excuses() if not (one.function and one.text and len(one.why.split()) > 5)] == []


@pytest.mark.parametrize("text", ["[[unreached]]\nfunction = 'f'\n", "unreached = 3\n", "[[unreached\n"])
def test_a_reason_that_is_not_whole_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "unreached.toml").write_text(text)
    with pytest.raises(SpecError, match=r"unreached\.toml"):
        report.excuses(tmp_path / "unreached.toml")
