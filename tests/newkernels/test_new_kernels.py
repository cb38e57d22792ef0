# SPDX-License-Identifier: GPL-2.0-only
"""Kernels of tomorrow in a VM: with a kfunc that no contract knows, and with enumerators that no table knows."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from kfunctest import proc, results
from kfunctest.gate.lists import Lists
from kfunctest.gate.run import Gate
from kfunctest.gate.verdict import Status
from kfunctest.kernels import spec
from kfunctest.kernels.model import Kernel
from kfunctest.kernels.named import Named
from kfunctest.reports.write import FILES
from kfunctest.results import Outcome, Untested
from kfunctest.trial.suite import Ended, pytest_suite
from kfunctest.trial.trials import Trials
from tests.building import needs_build_tools
from tests.gating import judge, said
from tests.newkernels.forget import FORGOTTEN

pytestmark = [pytest.mark.vm, needs_build_tools]

CHECKOUT = Path(__file__).resolve().parents[2]
PATCH = Path(__file__).with_name("ninth-kfunc.patch")
KFUNC = "bpf_memcg_swap_usage"
TEST = "selftests/test_usage.py::test_usage_equals_memory_current"
#: The tests that go over whole enums, or over all keys of a file.
OVER_ALL = (
    "test_items or test_page_state_agrees or test_page_state_takes or test_memory_events_have or test_raw_counters"
)
GOOD, INFRA = 0, 3
#: Seconds for a build upon the last one, and for a boot with a few tests, of a busy machine.
BUILD_SECONDS, RUN_SECONDS = 5400.0, 1200.0


@pytest.fixture(scope="module")
def ninth() -> Kernel:
    """The slim 7.2 with a ninth kfunc."""
    argv: list[str | Path] = [sys.executable, "-m", "kfunctest.build_kernel", "7.2-slim", "--patch", PATCH]
    built = proc.run(argv, seconds=BUILD_SECONDS, cwd=CHECKOUT).stdout.split()[-1]
    return spec.resolve(built)


def run(kernel: str | Path, folder: Path, *words: str | Path) -> tuple[proc.Completed, results.Run]:
    """A run of the suite; what it wrote, and what it left."""
    argv: list[str | Path] = [sys.executable, "-m", "pytest", "-m", "kfunc", "-p", "no:cacheprovider"]
    argv += [f"--kernel={kernel}", "--results", folder, *words]
    done = proc.run(argv, seconds=RUN_SECONDS, cwd=CHECKOUT, check=False)
    return done, results.read(folder / "latest" / results.NAME)


def test_ninth_kfunc_is_named_in_every_report_and_passes_only_where_accepted(ninth: Kernel, tmp_path: Path) -> None:
    done, left = run(ninth.image.parent, tmp_path / "plain", TEST)
    assert done.status == INFRA, done.stdout
    assert f"not tested: kfunc {KFUNC}, which no test covers" in done.stdout
    assert f"--accept-kfunc {KFUNC}" in done.stdout.splitlines()[-1]
    assert [result.outcome for result in left.results] == [Outcome.PASSED]
    assert left.kernels[0].untested == (Untested(KFUNC, "kfunc"),)
    for name in FILES:
        assert KFUNC in (tmp_path / "plain" / "latest" / name).read_text(), name
    done, left = run(ninth.image.parent, tmp_path / "accepted", TEST, "--accept-kfunc", KFUNC)
    assert done.status == GOOD, done.stdout
    assert left.kernels[0].untested == (Untested(KFUNC, "kfunc", accepted=True),)


def test_ninth_kfunc_is_unjudged_in_the_gate(ninth: Kernel, tmp_path: Path) -> None:
    suite = pytest_suite(RUN_SECONDS)

    def of_folder(_name: str, folder: Path, words: Sequence[str], _tests: Sequence[str]) -> Ended:
        return suite(str(ninth.image.parent), folder, words, (TEST,))

    row = Gate(lambda _: ninth, Trials(of_folder, tmp_path)).row(Named(ninth.release, source="linux"), Lists())
    found = judge(row)
    assert (row.problem, found.status) == ("", Status.UNJUDGED), said(found)
    assert f"no test covers its kfunc {KFUNC}" in said(found)
    assert judge(row, accepted=(KFUNC,)).status == Status.PASS


def test_enumerators_that_no_table_knows_fail_no_test(tmp_path: Path) -> None:
    done, left = run("7.2-slim", tmp_path, "-p", "tests.newkernels.forget", "-k", OVER_ALL, "selftests")
    assert done.status == INFRA, done.stdout
    assert {one.name for one in left.kernels[0].untested} == set(FORGOTTEN.values())
    assert left.results
    assert not [result for result in left.results if result.outcome.bad], done.stdout
