# SPDX-License-Identifier: GPL-2.0-only
"""What scripts/coverage makes of what kernels counted."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kfunctest import proc
from kfunctest.coverage import lines, reasons, report
from kfunctest.coverage.lines import BELOW, FUNCTIONS, WHOLE, Line
from kfunctest.coverage.reasons import Reason
from kfunctest.errors import InfraError, SpecError

HEADER = "include/linux/page.h"
INLINE = "static inline int pages(int count)\n{\n\treturn count * 4096;\n}\n"
SOURCE = """\
#include <linux/page.h>

int __usage(int memcg)
{
	if (memcg < 0)
		return -1;
	return pages(memcg);
}

int usage(int memcg)
{
	return __usage(memcg);
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
    for folder in (src / "mm", obj / "mm", notes / "mm", (src / HEADER).parent):
        folder.mkdir(parents=True)
    (src / HEADER).write_text(INLINE)
    (src / WHOLE).write_text(SOURCE)
    (notes / WHOLE).write_text(SOURCE)
    (obj / "main.c").write_text(PROGRAM)
    gcc: list[str | Path] = [proc.need("gcc"), "-I", src / "include", "-fprofile-arcs", "-ftest-coverage"]
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
        "return pages(memcg);": 2,
        "return __usage(memcg);": 2,
        "return 1;": 0,
    }
    assert [one.branches for one in lines if one.text == "if (memcg < 0)"] == [(0, 2)]


def test_there_is_a_page_to_look_at(counted: tuple[Path, Path], tmp_path: Path) -> None:
    report.gather(*counted, tmp_path / "report")
    pages = [re.sub("<[^>]*>", "", page.read_text()) for page in (tmp_path / "report").glob("coverage*.html")]
    assert any("return pages(memcg);" in page for page in pages), "expected a page that shows the source"


def test_no_counters_are_no_coverage(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    with pytest.raises(InfraError, match="no boot left any counters"):
        report.gather(tmp_path / "notes", tmp_path / "boots", tmp_path / "report")


def test_of_the_file_below_only_what_the_kfuncs_rest_on_counts(tmp_path: Path) -> None:
    (tmp_path / "mm").mkdir()
    (tmp_path / BELOW).write_text("int memcg_events(int x)\n{\n\ta;\n}\n\nint swapin(int x)\n{\n\tb;\n}\n")
    of: list[dict[str, object]] = [
        {"line_number": number, "function_name": "inlined_into", "count": 1, "branches": []} for number in (3, 8)
    ]
    found = report.read({"files": [{"file": BELOW, "lines": of}, {"file": "mm/slub.c", "lines": of}]}, tmp_path)
    assert [(one.function, one.text) for one in found] == [("memcg_events", "a;")]


def test_a_line_is_of_the_function_that_it_stands_in() -> None:
    source = """\
struct mem_cgroup *memcg = f(1);

static inline int memcg_stats_index(int idx)
{
	if (idx) {
		return 1;
	}
	return 0;
}

static int declared(int idx);

__bpf_kfunc struct mem_cgroup *
bpf_get_mem_cgroup(struct cgroup *a,
	int b)
{
	struct x y = { f(1) };
}
late_initcall(init);
"""
    found = lines.functions(source)
    assert {number for number, name in found.items() if name == "memcg_stats_index"} == set(range(3, 10))
    assert {number for number, name in found.items() if name == "bpf_get_mem_cgroup"} == set(range(13, 19))
    assert len(found) == 7 + 6


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


INIT = Reason("bpf_memcontrol_init", "pr_warn(", "registration does not fail")
NEVER = line(1, 'pr_warn("error");', 0, function="bpf_memcontrol_init")
HALF = Reason("usage", "if (!root)", "root is set at boot", branches=1)


def test_a_missing_line_needs_a_reason_of_its_own() -> None:
    elsewhere = line(2, 'pr_warn("error");', 0)
    below = line(3, "x = 0;", 0, file=BELOW, function="memcg_page_state")
    assert list(reasons.wrong([NEVER, elsewhere, below], [INIT])) == [
        f'{WHOLE}:2: never run, and nothing says why: pr_warn("error");',
        f"{BELOW}:3: never run, and nothing says why: x = 0;",
    ]


def test_of_the_file_below_lines_are_held_and_branches_told() -> None:
    half = line(3, "if (x)", 9, 9, 0, file=BELOW, function="memcg_page_state")
    assert list(reasons.wrong([half], [])) == []
    assert f"{BELOW}:3: 1 of 2 branches taken: if (x)" in report.table([half], [])


def test_a_reason_is_told_with_what_it_explains() -> None:
    assert f'{WHOLE}:1: never run: pr_warn("error"); (registration does not fail)' in report.table([NEVER], [INIT])


@pytest.mark.parametrize(
    "found, said",
    [
        ([line(1, "if (!root)", 9, 0, 9)], []),
        ([line(1, "if (!root)", 9, 2, 7)], ["'if (!root)' in usage(): it is reached after all"]),
        (
            [line(1, "if (!root)", 9, 0, 9, 0, 9)],
            [
                f"{WHOLE}:1: 2 of 4 branches taken, and nothing says why: if (!root)",
                "'if (!root)' in usage(): expected that 1 branches are not taken, seen: 2 of 4 branches taken",
            ],
        ),
        (
            [line(1, "if (!root)", 0, 0, 0)],
            [
                f"{WHOLE}:1: never run, and nothing says why: if (!root)",
                "'if (!root)' in usage(): expected that 1 branches are not taken, seen: never run",
            ],
        ),
        ([line(1, "if (!css)", 9, 2, 7)], ["'if (!root)' in usage(): 0 lines that count are like this, expected one"]),
        (
            [line(1, "if (!root)", 9, 0, 9), line(2, "if (!root)", 9, 2, 7)],
            ["'if (!root)' in usage(): 2 lines that count are like this, expected one"],
        ),
    ],
)
def test_a_reason_says_neither_too_much_nor_too_little(found: list[Line], said: list[str]) -> None:
    assert [one.removeprefix("unreached.toml: ") for one in reasons.wrong(found, [HALF])] == said


def test_what_never_counts_is_missed() -> None:
    whole = line(1, "x", 1)
    below = [line(1, "x", 1, file=BELOW, function=name) for name in FUNCTIONS]
    assert lines.absent([whole, *below]) == []
    assert lines.absent([whole, *below[1:]]) == [FUNCTIONS[0]]
    assert lines.absent(below) == [WHOLE]


def test_the_reasons_of_the_project_are_whole() -> None:
    assert [one for one in reasons.read() if len(one.why.split()) <= 5] == []


@pytest.mark.parametrize(
    "text",
    [
        "[[unreached]]\nfunction = 'f'\n",
        "[[unreached]]\nfunction = 'f'\ntext = 't'\nwhy = ''\n",
        "[[unreached]]\nfunction = 'f'\ntext = 't'\nwhy = 'w'\nbranches = true\n",
        "[[unreached]]\nfunction = 'f'\ntext = 't'\nwhy = 'w'\nline = 3\n",
        "unreached = 3\n",
        "[[unreached\n",
    ],
)
def test_a_reason_that_is_not_whole_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "unreached.toml").write_text(text)
    with pytest.raises(SpecError, match=r"unreached\.toml"):
        reasons.read(tmp_path / "unreached.toml")
