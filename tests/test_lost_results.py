# SPDX-License-Identifier: GPL-2.0-only
"""A run that lost something on its way is no pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from kfunctest.results import Outcome
from tests import childsuite, fakekernel
from tests.pytest_result import written


@pytest.mark.parametrize(
    "hook, words, line",
    [
        (
            "def pytest_sessionfinish(session):\n"
            "    if hasattr(session.config, 'workerinput'): os.kill(os.getpid(), signal.SIGKILL)\n",
            ("-n", "1"),
            "worker gw0 died, and what it saw last is lost",
        ),
        (
            "def pytest_runtest_protocol(item): return item.name == 'test_second' or None\n",
            (),
            "1 tests that were to run have no result",
        ),
    ],
    ids=["worker died", "no result"],
)
def test_what_was_lost_is_no_pass(tmp_path: Path, image: Path, hook: str, words: tuple[str, ...], line: str) -> None:
    """Neither what a worker saw after its last report, nor a test that nobody ran."""
    child = childsuite.write(tmp_path / "child", image, "def test_first(kernel): pass\ndef test_second(kernel): pass\n")
    with (child.folder / "conftest.py").open("a") as conftest:
        conftest.write(f"import os, signal\n{hook}")
    done = child.judge(*words)
    assert done.status == 3, done.stdout + done.stderr
    assert line in done.stdout.splitlines()[-1]
    assert child.run.status == 3


def test_a_kernel_without_kfuncs_is_worse_than_a_machine_that_fails(tmp_path: Path, image: Path) -> None:
    old = written(tmp_path / "old", fakekernel.image("6.12.1-old", functions=["mem_cgroup_css_alloc"]))
    body = "from kfunctest.errors import InfraError\ndef test_infra(kernel): raise InfraError('no space left')\n"
    child = childsuite.write(tmp_path / "child", image, body)
    done = child.judge(f"--kernel={old}")
    assert done.status == 1, done.stdout + done.stderr
    assert child.outcomes["test_infra"] is Outcome.INFRA
