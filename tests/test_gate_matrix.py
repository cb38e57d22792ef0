# SPDX-License-Identifier: GPL-2.0-only
"""What a gate makes of the files that runs and other gates leave: missing, cut short or unexplained is never a pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from kfunctest import results
from kfunctest.errors import SpecError
from kfunctest.gate import matrix, record
from kfunctest.gate.matrix import Matrix, Row
from kfunctest.gate.verdict import Status
from kfunctest.results import Untested
from kfunctest.trial import reading
from kfunctest.trial.reading import by_test
from kfunctest.trial.suite import Ended
from tests.gating import WARNING, A, B, C, judge, result, row, said, with_untested

WriteRun = Callable[..., Row]


def test_of_two_results_of_one_test_the_worse_is_kept() -> None:
    found = by_test([result(A, "passed"), result(A, "crashed"), result(A, "failed"), result(B, "passed")])
    assert {test: str(one.outcome) for test, one in found.items()} == {A: "crashed", B: "passed"}


def found_in(ended: Ended) -> Row:
    return matrix.row("7.2", reading.read(ended, Path(), "7.2"))


@pytest.fixture
def left(tmp_path: Path) -> WriteRun:
    """The row that comes of a file that such a run leaves, and of pytest's status."""

    def write(ended: Row, status: int, *, end: bool = True, planned: Sequence[str] = ()) -> Row:
        file = tmp_path / results.NAME
        assert ended.run
        more = tuple((test, ended.kernel) for test in planned)
        results.begin(file, replace(ended.run, planned=ended.run.planned + more))
        for one in ended.run.results:
            results.write_line(file, "result", one)
        if end:
            results.end(file, replace(ended.run, status=ended.run.status or 0))
        return found_in(Ended(status, "its last line", file))

    return write


def test_a_whole_file_makes_a_judged_row(left: WriteRun) -> None:
    for ended, status in ((row(a="passed"), 0), (row(a="failed"), 1), (row(a="passed", b="infra", status=3), 3)):
        assert left(ended, status).problem == ""


def test_what_no_test_knows_explains_a_status_of_3(left: WriteRun) -> None:
    """And only where nobody accepted it: a status that nothing explains is no judgement."""
    ended = row(a="passed", status=3)
    found = left(with_untested(ended, Untested("bpf_new", "kfunc")), 3)
    assert (found.problem, found.untested) == ("", (Untested("bpf_new", "kfunc"),))
    assert left(with_untested(ended, Untested("bpf_new", "kfunc", accepted=True)), 3).problem
    assert left(ended, 3).problem


def test_what_a_file_lacks_is_said_and_never_a_pass(left: WriteRun) -> None:
    rows = [
        (left(row(a="passed"), 0, end=False), "cut short after 1 results; pytest ended with status 0; its last line"),
        (left(row(a="passed"), -9, end=False), "pytest was ended by signal 9"),
        (left(row(a="passed"), 0, planned=[C]), f"1 tests were never reached, the first {C}"),
        (left(row(a="passed"), 1), "the results say status 0; pytest ended with status 1"),
        (left(row(a="passed", status=1), 1), "status 1, and no result says why"),
        (left(row(a="failed", status=0), 0), "status 0, and results are bad"),
        (left(row(a="passed", status=2), 2), "pytest ended with status 2"),
        (left(row(a="skipped"), 0), "no test was put to this kernel"),
        (left(row(), 5), "say status 0"),
        (left(row("7.3", a="passed"), 0), "the results are those of 7.3"),
    ]
    for found, why in rows:
        assert why in found.problem
        assert judge(found).status != Status.PASS, why


@pytest.mark.parametrize("content", [None, b"", b"\n", b"{}\n", b"nonsense"])
def test_a_file_that_is_none_is_never_a_pass(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / results.NAME
    if content is not None:
        file.write_bytes(content)
    for found in (found_in(Ended(0, "", file)), found_in(Ended(0, "", None))):
        assert found.problem
        assert judge(found).status == Status.UNJUDGED


def test_what_a_run_that_was_cut_short_had_found_bad_is_bad(left: WriteRun) -> None:
    found = judge(left(row(a="failed", b="passed"), -9, end=False))
    assert found.status == Status.BAD
    assert "not judged: " in said(found)


def test_a_record_is_read_back_as_it_was_but_for_what_is_long(tmp_path: Path) -> None:
    run = with_untested(row(a="failed", b="passed", between=[WARNING]), Untested("bpf_new", "kfunc")).run
    assert run
    long = replace(run, results=tuple(replace(one, log="L" * 9999, details="D" * 9999) for one in run.results))
    judged = Matrix(
        "2026-01-01",
        "scripts/gate",
        (Row("7.2", long, repeats=(long,), lost=("gone",)), Row("7.3", problem="no build"), Row("6.12", absent=True)),
        words=("-k", "a"),
    )
    file = tmp_path / record.NAME
    record.write(file, judged, judge(*judged.rows))
    brief = (Row("7.2", run, repeats=(run,), lost=("gone",)), *judged.rows[1:])
    assert record.read(file) == replace(judged, rows=brief)
    assert file.stat().st_size < 9999


def test_a_record_that_is_cut_anywhere_is_refused(tmp_path: Path) -> None:
    file = tmp_path / record.NAME
    record.write(file, Matrix("2026-01-01", "scripts/gate", (row(a="passed"),)), judge(row(a="passed")))
    whole = file.read_bytes()
    for size in range(len(whole) - 2):
        file.write_bytes(whole[:size])
        with pytest.raises(SpecError, match="is no gate's record"):
            record.read(file)
    file.write_text('{"format": 99}')
    with pytest.raises(SpecError, match="another format"):
        record.read(file)
    with pytest.raises(SpecError, match="cannot be read"):
        record.read(tmp_path / "none")


def test_matrices_of_several_jobs_are_one() -> None:
    parts = [Matrix("2026-01-02", "gate a", (row(a="passed", b="skipped"),), whole=False)]
    parts += [Matrix("2026-01-01", "gate b", (row("7.3", a="passed", b="passed"),), whole=False)]
    merged = record.merge(parts, ["7.2", "7.3"], whole=True)
    assert (merged.whole, merged.started, [one.kernel for one in merged.rows]) == (True, "2026-01-01", ["7.2", "7.3"])
    assert judge(*merged.rows, whole=merged.whole).status == Status.PASS
    with pytest.raises(SpecError, match="is in two"):
        record.merge([parts[0], parts[0]], ["7.2"], whole=True)


def test_the_records_of_jobs_are_found_below_a_folder(tmp_path: Path) -> None:
    for name in ("7.2", "7.3"):
        (tmp_path / name / "gate-1").mkdir(parents=True)
        one = Matrix("2026-01-01", "gate", (row(name, a="passed"),), whole=False)
        record.write(tmp_path / name / "gate-1" / record.NAME, one, judge(*one.rows))
        (tmp_path / name / "gate-latest").mkdir()
        (tmp_path / name / "gate-latest" / record.NAME).write_bytes(
            (tmp_path / name / "gate-1" / record.NAME).read_bytes()
        )
    assert sorted(one.rows[0].kernel for one in record.read_all([tmp_path])) == ["7.2", "7.3"]
    with pytest.raises(SpecError, match="cannot be read"):
        record.read_all([tmp_path / "none"])


def test_a_job_that_left_no_record_is_no_pass() -> None:
    part = Matrix("2026-01-02", "gate a", (row(a="passed"),), whole=False)
    for parts in ([part], []):
        merged = record.merge(parts, ["7.2", "7.3"], whole=False)
        assert judge(*merged.rows, whole=False).status == Status.UNJUDGED
        assert merged.rows[-1] == Row("7.3", problem="there is no record of it")
