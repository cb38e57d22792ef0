# SPDX-License-Identifier: GPL-2.0-only
"""Runs with more than one ``--kernel``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import fakekernel
from tests.pytest_result import Judge, assert_matches, written

FAILED, INFRA = 1, 3


def test_a_kernel_named_twice_is_judged_once(judge: Judge, image: Path, tmp_path: Path) -> None:
    copy = written(tmp_path / "copy", image.read_bytes())
    ended = judge("--collect-only", "-q", "--kernel", image, "--kernel", copy, tests="selftests/test_presence.py")
    assert ended.status == 0, ended.text
    assert "test_every_kfunc_of_the_contract_is_in_btf\n" in ended.text


def test_two_kernels_are_named_in_the_tests(judge: Judge, image: Path, tmp_path: Path) -> None:
    other = written(tmp_path / "other", fakekernel.image("7.9.2-other", config=fakekernel.CONFIG))
    ended = judge("--kernel", image, "--kernel", other, "-v", tests="selftests/test_presence.py")
    assert ended.status == 0, ended.text
    for release in (fakekernel.RELEASE, "7.9.2-other"):
        assert f"kernel: {release} " in ended.text
        assert f"[{release}] PASSED" in ended.text


def test_a_kernel_that_cannot_be_had_is_looked_for_once(judge: Judge, image: Path, tmp_path: Path) -> None:
    """And not once for each test function, of which each is to run on both kernels."""
    quick = written(tmp_path / "quick.conf", b'Acquire::Retries "0";\n')
    words = ("--kernel", image, "--kernel", "debian", "--debian-mirror", "http://127.0.0.1:9")
    ended = judge(*words, env={"APT_CONFIG": str(quick)})
    assert ended.status == INFRA, ended.text
    assert_matches("cannot be reached", ended.line)
    assert ended.text.count("asking the Debian archive for its") == 1


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["plain", "xdist"])
@pytest.mark.parametrize("tests", ["selftests/test_presence.py", "selftests/test_usage.py"])
def test_one_of_two_kernels_has_no_kfuncs(
    judge: Judge, image: Path, tmp_path: Path, tests: str, workers: tuple[str, ...]
) -> None:
    """The other is judged, and the run fails whatever comes of that, even of nothing."""
    other = written(tmp_path / "other", fakekernel.image("6.12.1-old", functions=["mem_cgroup_css_alloc"]))
    nothing = ("-k", "nothing_of_this_name") if "usage" in tests else ()
    ended = judge(*workers, "--kernel", image, "--kernel", other, *nothing, tests=tests)
    if nothing:
        assert ended.status != 0
        return
    assert ended.status == FAILED, ended.text
    assert "2 passed" in ended.text
    assert_matches(r"6\.12\.1-old has none of the memcg BPF kfuncs", ended.line)


def test_a_worker_that_is_done_ends_no_other(judge: Judge, image: Path, tmp_path: Path) -> None:
    """The one whose kernel has none of the kfuncs is done long before the other."""
    other = written(tmp_path / "other", fakekernel.image("6.12.1-old", functions=["mem_cgroup_css_alloc"]))
    slow = b"import time\n\ndef pytest_runtest_setup(item):\n    time.sleep(3 * ('7.9.1' in item.nodeid))\n"
    env = {"PYTHONPATH": str(written(tmp_path / "slow.py", slow).parent)}
    words = ("-n", "2", "-p", "slow", "--kernel", image, "--kernel", other)
    ended = judge(*words, env=env, tests="selftests/test_presence.py")
    assert (ended.status, "2 passed, 2 errors" in ended.text) == (FAILED, True), ended.text
