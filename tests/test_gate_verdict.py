# SPDX-License-Identifier: GPL-2.0-only
"""What a gate says of a matrix: one verdict, by lists and a baseline, and never a pass of what was not judged."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kfunctest.gate import baseline, verdict
from kfunctest.gate.lists import Entry, Lists
from kfunctest.gate.matrix import Matrix, Row
from kfunctest.gate.verdict import Status
from kfunctest.results import Splat
from tests.gating import WARNING, A, B, judge, row, said


def denied(pattern: str) -> Lists:
    return Lists(deny=(Entry(pattern, "upstream knows", "DENYLIST:3"),))


def allowed(*patterns: str) -> Lists:
    return Lists(allow=tuple(Entry(pattern, "stable", "ALLOWLIST:1") for pattern in patterns))


def test_a_matrix_of_passes_passes() -> None:
    found = judge(row(a="passed", b="xfailed", c="skipped"), row("7.3", a="passed", b="skipped", c="passed"))
    assert (found.status, said(found)) == (Status.PASS, "")


@pytest.mark.parametrize("outcome", ["failed", "crashed", "hung", "xpassed"])
def test_one_bad_test_of_one_kernel_is_enough(outcome: str) -> None:
    found = judge(row(a="passed"), row("7.3", a=outcome))
    assert found.status == Status.BAD
    assert said(found) == f"7.3: {A}: {outcome}: {outcome} it did"
    assert found.bad[0].reproduce == f"scripts/kfunc {A}"


def test_infra_is_neither_a_pass_nor_bad() -> None:
    assert judge(row(a="passed", b="infra", status=3)).status == Status.UNJUDGED


def test_bad_goes_before_unjudged() -> None:
    found = judge(row(a="failed"), Row("7.3", problem="mm/memcontrol.c:1: error: no such thing"))
    assert found.status == Status.BAD
    assert "7.3: not judged: mm/memcontrol.c:1: error: no such thing" in said(found)


def test_a_kernel_that_does_not_build_leaves_the_others_judged() -> None:
    found = judge(Row("7.3", problem="it does not compile"), row(a="passed"))
    assert found.status == Status.UNJUDGED
    assert [line.kernel for line in found.unjudged] == ["7.3"]


def test_a_matrix_without_kernels_is_no_pass() -> None:
    assert judge().status == Status.UNJUDGED


def test_a_splat_between_tests_is_bad() -> None:
    found = judge(row(a="passed", between=[WARNING]))
    assert found.status == Status.BAD
    assert "between tests: warn after" in said(found)
    assert judge(row(a="passed", between=[replace(WARNING, expected=True)], status=0)).status == Status.PASS


def test_a_kernel_without_the_kfuncs_is_bad_unless_declared() -> None:
    assert judge(row(a="passed"), Row("6.12", bad="it has none of the kfuncs")).status == Status.BAD
    assert judge(row(a="passed"), Row("6.12", absent=True)).status == Status.PASS


def test_a_denied_failure_does_not_count_and_is_said() -> None:
    found = judge(row(a="passed", b="crashed"), lists=denied("test_b"))
    assert found.status == Status.PASS
    assert "crashed, denied by DENYLIST:3 (upstream knows)" in said(found)


def test_a_denied_infra_outcome_does_not_count_either() -> None:
    assert judge(row(a="passed", b="infra", status=3), lists=denied("test_b")).status == Status.PASS


def test_a_denied_pass_is_said() -> None:
    found = judge(row(a="passed", b="passed"), lists=denied("test_b"))
    assert found.status == Status.PASS
    assert f"7.2: {B}: passes, and DENYLIST:3 denies it (upstream knows): take the line out" in said(found)


def test_a_line_of_the_denylist_that_means_no_test_is_said() -> None:
    found = judge(row(a="passed"), lists=denied("test_q"))
    assert (found.status, said(found)) == (Status.PASS, "7.2: DENYLIST:3: there is no test test_q")


def test_a_line_for_a_test_that_only_another_kernel_has_is_in_order() -> None:
    rows = row(a="passed", b="passed"), row("7.3", a="passed")
    assert judge(*rows, lists=allowed("test_a", "test_b")).status == Status.PASS
    found = judge(*rows, lists=denied("test_b"))
    assert (found.status, "there is no test" in said(found)) == (Status.PASS, False)
    own = Lists(deny=(Entry("test_b", "why", "DENYLIST.7.3:1"),))
    assert "7.3: DENYLIST.7.3:1: there is no test test_b" in said(judge(*rows, lists=own))


def test_where_tests_were_chosen_a_line_for_another_test_is_not_called_wrong() -> None:
    chosen = Matrix("2026-01-01", "scripts/gate", (row(a="passed"),), words=("-k", "a"))
    found = verdict.judge(chosen, {"7.2": denied("test_q")}, baseline.Baseline())
    assert said(found) == "7.2: DENYLIST:3: of the tests that were chosen none is test_q"


def test_what_the_allowlist_leaves_out_does_not_count() -> None:
    assert judge(row(a="passed", b="failed"), lists=allowed("test_a")).status == Status.PASS
    assert judge(row(a="failed", b="passed"), lists=allowed("test_a")).status == Status.BAD


def test_an_allowlist_that_names_what_has_no_result_is_no_pass() -> None:
    assert judge(row(a="passed"), lists=allowed("test_a", "test_b")).status == Status.UNJUDGED


def test_lists_that_leave_nothing_are_no_pass() -> None:
    assert judge(row(a="passed", b="failed"), lists=denied("*")).status == Status.UNJUDGED
    found = judge(row(a="skipped", b="passed"), row("7.3", a="passed", b="passed"), lists=allowed("test_a"))
    assert [line.kernel for line in found.unjudged] == ["7.2"]


def test_a_test_that_applied_to_no_kernel_is_no_pass() -> None:
    rows = row(a="passed", b="skipped"), row("7.3", a="passed", b="skipped")
    found = judge(*rows)
    assert (found.status, said(found)) == (Status.UNJUDGED, f"{B}: applied to no kernel")
    assert judge(*rows, whole=False).status == Status.PASS
    assert said(judge(*rows, whole=False)) == f"{B}: applied to no kernel"


def test_with_a_baseline_only_what_is_new_is_bad() -> None:
    known = baseline.of(Matrix("2026-01-01", "scripts/gate", (row(a="failed", b="passed", between=[WARNING]),)))
    again = replace(WARNING, line="WARNING: CPU: 0 PID: 5 at mm/x.c:1 f+0x12/0x34")
    found = judge(row(a="failed", b="passed", between=[again]), known=known)
    assert found.status == Status.PASS
    assert len(found.known) == 2
    assert judge(row(a="failed", b="failed"), known=known).status == Status.BAD
    assert judge(row(a="failed", b="passed", c="failed"), known=known).status == Status.BAD
    assert judge(row("7.3", a="failed", b="passed"), known=known).status == Status.BAD
    other = replace(WARNING, line="WARNING: CPU: 0 PID: 5 at mm/y.c:1 g+0x12/0x34")
    assert judge(row(a="failed", b="passed", between=[other]), known=known).status == Status.BAD


@pytest.mark.parametrize(
    "before, now, new",
    [
        ("failed", "crashed", True),
        ("failed", "hung", True),
        ("crashed", "failed", False),
        ("hung", "crashed", False),
        ("infra", "failed", True),
        ("skipped", "failed", True),
        ("passed", "crashed", True),
    ],
)
def test_what_got_worse_is_new(before: str, now: str, new: bool) -> None:
    known = baseline.of(Matrix("2026-01-01", "scripts/gate", (row(a=before, b="passed"),)))
    assert (judge(row(a=now, b="passed"), known=known).status == Status.BAD) is new


def complaining(*splats: Splat) -> Row:
    """A kernel on which the test A failed and complained so."""
    judged = row(a="failed", b="passed")
    assert judged.run
    first, *others = judged.run.results
    return replace(judged, run=replace(judged.run, results=(replace(first, splats=splats), *others)))


def test_a_complaint_that_a_known_failure_did_not_have_is_new() -> None:
    """A use after free must not hide behind a failure of long standing."""
    kasan = Splat("kasan", "BUG: KASAN: slab-use-after-free in f+0x12/0x34", "")
    again = replace(WARNING, line="WARNING: CPU: 0 PID: 5 at mm/x.c:1 f+0x12/0x34")
    known = baseline.of(Matrix("2026-01-01", "scripts/gate", (complaining(WARNING),)))
    assert judge(complaining(kasan), known=known).status == Status.BAD
    assert judge(complaining(again, kasan), known=known).status == Status.BAD
    assert judge(complaining(again), known=known).status == Status.PASS
    assert judge(complaining(again, replace(kasan, expected=True)), known=known).status == Status.PASS
    assert judge(complaining(), known=known).status == Status.PASS


def test_a_baseline_makes_no_pass_of_what_was_not_judged() -> None:
    known = baseline.of(Matrix("2026-01-01", "scripts/gate", (Row("7.2", problem="no build"),)))
    assert judge(Row("7.2", problem="no build"), known=known).status == Status.UNJUDGED


def test_a_test_that_judges_no_longer_is_said() -> None:
    known = baseline.of(Matrix("2026-01-01", "scripts/gate", (row(a="passed", b="passed", c="skipped"),)))
    assert said(judge(row(a="passed"), known=known)) == f"7.2: {B}: was judged in the baseline, is not now"


def test_the_first_result_is_kept_and_repetitions_stand_beside_it() -> None:
    first = row(a="failed", b="passed")
    again = tuple(one.run for one in (row(a="passed"), row(a="crashed")) if one.run)
    found = judge(replace(first, repeats=again, lost=("no results",)))
    assert found.status == Status.BAD
    assert str(found.bad[0]) == f"7.2: {A}: failed: failed it did (2 x again: passed, crashed)"
    assert "a repetition came to nothing: no results" in said(found)
