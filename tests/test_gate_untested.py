# SPDX-License-Identifier: GPL-2.0-only
"""What a gate makes of kernels with a kfunc or an enumerator that no test covers: it could not judge them whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from kfunctest.gate import baseline, command, html, record
from kfunctest.gate.baseline import Baseline
from kfunctest.gate.lists import Lists
from kfunctest.gate.matrix import Matrix
from kfunctest.gate.run import Gate
from kfunctest.gate.verdict import Status
from kfunctest.kernels import spec
from kfunctest.kernels.named import Named
from kfunctest.results import Untested
from kfunctest.trial.suite import Ended
from kfunctest.trial.trials import Trials
from tests import fakekernel
from tests.fakekernel import MEMCG, Function
from tests.gating import judge, row, said, with_untested
from tests.pytest_result import written

NEW = Untested("bpf_new", "kfunc")


def test_what_no_test_knows_is_unjudged_unless_it_is_accepted() -> None:
    untested = (NEW, Untested("NR_NEW", "node_stat_item"))
    new = with_untested(row("7.4", a="passed", status=3), *untested)
    found = judge(row(a="passed"), new)
    assert found.status == Status.UNJUDGED
    assert said(found).splitlines() == [
        f"7.4: no test covers its {kind} {name} (accept that with --accept-kfunc {name})"
        for kind, name in (("kfunc", "bpf_new"), ("node_stat_item", "NR_NEW"))
    ]
    assert judge(new, accepted=("bpf_new",)).status == Status.UNJUDGED
    accepted = judge(new, accepted=("bpf_new", "NR_NEW"))
    assert accepted.status == Status.PASS
    assert "7.4: no test covers its kfunc bpf_new (accepted)" in said(accepted)


def test_what_a_run_was_told_to_accept_needs_no_second_word() -> None:
    new = with_untested(row(a="passed"), replace(NEW, accepted=True))
    found = judge(new)
    assert (found.status, said(found)) == (Status.PASS, "7.2: no test covers its kfunc bpf_new (accepted)")


def test_a_bad_kernel_is_bad_whatever_no_test_knows() -> None:
    assert judge(with_untested(row(a="failed"), NEW)).status == Status.BAD


def test_a_baseline_makes_no_pass_of_what_no_test_knows() -> None:
    new = with_untested(row(a="passed", status=3), NEW)
    known = baseline.of(Matrix("2026-01-01", "scripts/gate", (new,)))
    assert judge(new, known=known).status == Status.UNJUDGED


class Suite:
    """Leaves nothing, and keeps what each run was told."""

    def __init__(self) -> None:
        self.words: list[tuple[str, ...]] = []

    def __call__(self, kernel: str, folder: Path, words: Sequence[str], tests: Sequence[str]) -> Ended:
        self.words.append(tuple(words))
        return Ended(3, "no results", None)


def test_what_is_accepted_is_passed_on_to_each_run(tmp_path: Path, image: Path, cache_here: Path) -> None:
    suite = Suite()
    trials = Trials(suite, tmp_path / "gate")
    gate = Gate(lambda _: spec.resolve(str(image)), trials, ("-n", "2"), accepted=("bpf_new", "NR_NEW"))
    gate.row(Named("7.2", source="linux"), Lists())
    assert suite.words == [("-n", "2", "--accept-kfunc=bpf_new", "--accept-kfunc=NR_NEW")]


def test_a_kernel_that_should_have_no_kfuncs_has_one_that_no_test_knows(tmp_path: Path, cache_here: Path) -> None:
    """It is not booted, and neither bad nor a pass."""
    functions = ["mem_cgroup_css_alloc", Function("bpf_new", (MEMCG,), tagged=True)]
    image = written(tmp_path / "vmlinuz", fakekernel.image(functions=functions, config=fakekernel.CONFIG))
    bare, suite = Named("6.12", source="linux", kfuncs=False), Suite()
    found = Gate(lambda _: spec.resolve(str(image)), Trials(suite, tmp_path / "a")).row(bare, Lists())
    assert "no test covers its kfunc bpf_new" in found.problem
    assert judge(found).status == Status.UNJUDGED
    accepting = Gate(lambda _: spec.resolve(str(image)), Trials(suite, tmp_path / "b"), accepted=("bpf_new",))
    assert accepting.row(bare, Lists()).absent
    assert suite.words == []


def test_every_file_names_it_and_a_merge_may_accept_it(tmp_path: Path) -> None:
    matrix = Matrix("2026-01-01", "gate", (with_untested(row("7.2", a="passed", status=3), NEW),), whole=False)
    asked = command.Asked((), False, (), (), 0, 60, None, tmp_path / "a")
    assert command.run(asked, Baseline(), [matrix]) == Status.UNJUDGED
    for name in (command.MATRIX, record.NAME, html.NAME):
        assert "no test covers its kfunc bpf_new" in (tmp_path / "a" / "gate-latest" / name).read_text(), name
    assert (
        command.run(replace(asked, accepted=("bpf_new",), results=tmp_path / "b"), Baseline(), [matrix]) == Status.PASS
    )


@pytest.mark.parametrize(("words", "accepted"), [([], ()), (["--accept-kfunc", "a", "--accept-kfunc=B"], ("a", "B"))])
def test_the_option_reaches_the_gate(
    words: list[str], accepted: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from kfunctest.gate.__main__ import main

    seen: list[command.Asked] = []

    def run(asked: command.Asked, *_: object) -> int:
        seen.append(asked)
        return 0

    monkeypatch.setenv("KFUNCTEST_CWD", str(tmp_path))
    monkeypatch.setattr(command, "run", run)
    assert main(["7.2-slim", *words]) == 0
    assert seen[0].accepted == accepted
