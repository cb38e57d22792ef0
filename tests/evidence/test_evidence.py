# SPDX-License-Identifier: GPL-2.0-only
"""That the suite tells kernels apart: by what they have, and by which revision of the series they keep.

Each test builds the kernels it names where they are not built yet (kernel-config/kernels.toml), and runs the suite as a
user would. docs/evidence.md is written from what they leave in results/.
"""

from __future__ import annotations

import sys
from collections.abc import Set
from pathlib import Path

import pytest

from kfunctest import proc
from kfunctest.kernels import named
from tests.evidence.differences import DIFFERENCES, NOT_APPLICABLE
from tests.evidence.judged import CHECKOUT, SECONDS, Judged, judge
from tests.evidence.options import BY_OPTION

pytestmark = pytest.mark.evidence

PASSED, FAILED = 0, 1

#: What keeps which contract.
V2_KERNEL, V7_KERNEL, BARE = "6.12-slim", "7.2-slim", "6.12-bare"


@pytest.fixture
def folder(request: pytest.FixtureRequest) -> Path:
    """Where a run's report and consoles are kept, one folder a test."""
    place = CHECKOUT / "results" / "evidence" / str(request.node.name)
    place.mkdir(parents=True, exist_ok=True)
    (place / "junit.xml").unlink(missing_ok=True)
    return place


def test_6_12_without_the_series_has_none_of_the_kfuncs(folder: Path) -> None:
    """Said at once, from BTF: no test runs, none is skipped."""
    ended = judge(folder, BARE)
    assert ended.status == FAILED, ended
    assert ended.outcomes == (), ended
    assert "has none of the memcg BPF kfuncs" in ended.text.splitlines()[-1], ended


@pytest.mark.parametrize("name", [name for name in named.load() if name != BARE])
def test_a_named_kernel_keeps_its_contract(folder: Path, name: str) -> None:
    """v2 is declared in kernels.toml, and never guessed; v7.0 is what BTF says. What is not applicable is known."""
    ended = judge(folder, name)
    v2 = named.load()[name].contract == "v2"
    assert ("contract: v2 (declared" if v2 else "contract: v7.0 (identified by BTF)") in ended.text, ended
    assert_passed(ended, skipped=NOT_APPLICABLE["v2 on 6.12" if v2 else "v7.0"])


def test_each_patch_of_the_series_compiles() -> None:
    """A bisection may stop at any of them. The last is the kernel that the other tests judge."""
    folder = CHECKOUT / "kernel-config" / "patches" / "linux-6.12"
    series = [f"--patch={path}" for path in sorted(folder.glob("*.patch"))]
    assert len(series) == 4, series
    for count in range(1, len(series)):
        proc.run(
            [sys.executable, "-m", "kfunctest.build_kernel", "debian:6.12", *series[:count]],
            seconds=SECONDS,
            cwd=CHECKOUT,
        )


def test_6_12_with_the_series_fails_v7_0_where_the_revisions_differ(folder: Path) -> None:
    ended = judge(folder, V2_KERNEL, "--contract", "v7.0")
    expected = {test for difference in DIFFERENCES for test in difference.v2_judged_by_v7}
    assert_fails_exactly(ended, expected)


def test_7_2_fails_v2_where_the_revisions_differ(folder: Path) -> None:
    ended = judge(folder, V7_KERNEL, "--contract", "v2")
    expected = {test for difference in DIFFERENCES for test in difference.v7_judged_by_v2}
    assert_fails_exactly(ended, expected)


def test_an_unchecked_event_is_an_out_of_bounds_read(folder: Path) -> None:
    """The review thread's question, put to a kernel with KASAN: should the function validate the event?"""
    tests = ("selftests/test_unchecked_events.py",)
    ended = judge(folder, "6.12-debug", "-m", "kfunc and evidence", tests=tests)
    assert_passed(ended, skipped=set())


def assert_passed(ended: Judged, skipped: Set[str]) -> None:
    """Every test passed but those known not to be applicable there, and perhaps those that an option decides on."""
    assert ended.status == PASSED, ended
    assert ended.those("passed"), ended
    assert not ended.those("failed"), ended
    found = ended.those("skipped")
    assert skipped <= found <= skipped | BY_OPTION, (
        sorted(skipped - found),
        sorted(found - skipped - BY_OPTION),
        ended,
    )


def assert_fails_exactly(ended: Judged, expected: set[str]) -> None:
    """These tests fail and no others: the suite blames what differs, and only that."""
    assert ended.status == FAILED, ended
    failed = ended.those("failed")
    more, fewer = sorted(failed - expected), sorted(expected - failed)
    assert more == [], f"failed beyond what differs: {more}\n{ended}"
    assert fewer == [], f"passed although it differs: {fewer}\n{ended}"
