# SPDX-License-Identifier: GPL-2.0-only
"""A kernel with a kfunc or an enumerator that no test covers: named everywhere, and no plain pass unless accepted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

import pytest

from kfunctest import contract
from kfunctest.reports.write import FILES
from kfunctest.results import Untested
from tests import childsuite, fakekernel
from tests.childsuite import Child
from tests.fakekernel import MEMCG, RELEASE, Function
from tests.pytest_result import Judge, written

GOOD, BAD, INFRA, NOTHING = 0, 1, 3, 5
NINTH = "bpf_proactive_reclaim"
ITEM = "NR_UNHEARD_OF"
KNOWN = [Function(name, (MEMCG,), tagged=True) for name in sorted(contract.ALL)]
TESTS = """
def test_passes(kernel): pass
def test_fails(kernel): assert kernel is None
"""


def image(folder: Path, *, kfunc: bool = True, item: bool = False, release: str = RELEASE) -> Path:
    """A kernel with a ninth kfunc, with an item that no kernel has, or with both."""
    ninth = [Function(NINTH, (MEMCG, "void", "void"), tagged=True)] if kfunc else []
    states: Mapping[str, int] = {"NR_LRU_BASE": 0, ITEM: 1, "NR_VM_NODE_STAT_ITEMS": 2}
    enums = {**fakekernel.ENUMS, "node_stat_item": states} if item else fakekernel.ENUMS
    functions = [*KNOWN, "mem_cgroup_css_alloc", *ninth]
    content = fakekernel.image(release, functions=functions, enums=enums, config=fakekernel.CONFIG)
    return written(folder / release, content)


@pytest.fixture
def child(tmp_path: Path) -> Child:
    """A suite on a kernel with both."""
    return childsuite.write(tmp_path / "child", image(tmp_path, item=True), TESTS)


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["plain", "xdist"])
def test_what_no_test_knows_is_in_last_line_and_record(child: Child, workers: tuple[str, ...]) -> None:
    done = child.judge(*workers, "-k", "passes")
    assert done.status == INFRA, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == (
        f"kfunctest: no test covers kfunc {NINTH} of {RELEASE}, node_stat_item {ITEM} of {RELEASE}; "
        f"update the suite, or accept that with --accept-kfunc {NINTH} --accept-kfunc {ITEM}"
    )
    assert child.run.status == INFRA
    assert child.run.kernels[0].untested == (Untested(NINTH, "kfunc"), Untested(ITEM, "node_stat_item"))


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["plain", "xdist"])
def test_what_is_accepted_is_named_and_passes(child: Child, workers: tuple[str, ...]) -> None:
    words = ("--accept-kfunc", NINTH, f"--accept-kfunc={ITEM}")
    done = child.judge(*workers, "-k", "passes", *words)
    assert done.status == GOOD, done.stdout + done.stderr
    assert "kfunctest: " not in done.stdout
    assert child.run.status == GOOD
    for name in FILES:
        text = (child.latest / name).read_text()
        assert f"kfunc {NINTH} (accepted); node_stat_item {ITEM} (accepted)" in text, name


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["plain", "xdist"])
def test_the_header_names_it(tmp_path: Path, judge: Judge, workers: tuple[str, ...]) -> None:
    words = ("--kernel", image(tmp_path, item=True), "--accept-kfunc", ITEM, *workers)
    ended = judge(*words, tests="selftests/test_presence.py")
    assert ended.status == INFRA, ended.text
    header = ended.text.partition("kfunctest: ")[0].splitlines()
    assert f"not tested: kfunc {NINTH}, which no test covers" in header
    assert f"not tested: node_stat_item {ITEM} (accepted), which no test covers" in header


def test_one_of_two_is_accepted(child: Child) -> None:
    done = child.judge("-k", "passes", "--accept-kfunc", NINTH)
    assert done.status == INFRA
    assert NINTH not in done.stdout.splitlines()[-1]
    assert f"--accept-kfunc {ITEM}" in done.stdout.splitlines()[-1]


def test_what_is_accepted_needlessly_is_reported(tmp_path: Path) -> None:
    """Mistyped, or known by now."""
    child = childsuite.write(tmp_path / "child", image(tmp_path, kfunc=False), TESTS)
    done = child.judge("-k", "passes", "--accept-kfunc", "bpf_mem_cgroup_usage")
    assert done.status == GOOD, done.stdout
    assert "not needed: --accept-kfunc bpf_mem_cgroup_usage: " in done.stdout
    assert "not tested" not in done.stdout


def test_a_kernel_that_is_bad_is_bad(child: Child) -> None:
    done = child.judge()
    assert done.status == BAD
    assert NINTH in done.stdout.splitlines()[-1]
    assert child.run.status == BAD


@pytest.mark.parametrize(("words", "status"), [(("-k", "nothing_of_this_name"), NOTHING), (("--collect-only",), GOOD)])
def test_a_run_that_judges_nothing_keeps_its_status(child: Child, words: tuple[str, ...], status: int) -> None:
    assert child.judge(*words).status == status


def test_each_report_names_it_and_is_no_pass(child: Child) -> None:
    child.judge("-k", "passes")
    texts = {name: (child.latest / name).read_text() for name in FILES}
    for name, text in texts.items():
        assert f"kfunc {NINTH}; node_stat_item {ITEM}" in text, name
        assert f"--accept-kfunc {NINTH}" in text, name
    errors = ElementTree.fromstring(texts["junit.xml"]).findall(".//testcase/error")
    assert [error.get("type") for error in errors] == ["infra", "infra"]
    assert f"not ok 1 not tested: {NINTH} # ERROR infra" in texts["results.ktap"]
    assert json.loads(texts["test_progs.json"])["failed"] == 1
    assert [test["status"] for test in json.loads(texts["kcidb.json"])["tests"]] == ["PASS", "ERROR", "ERROR"]
    assert '<span class="badge infra" id="verdict">not judged</span>' in texts["report.html"]


def test_each_of_several_kernels_has_its_own(tmp_path: Path, judge: Judge) -> None:
    kernels = image(tmp_path, release="7.9.1-new"), image(tmp_path, kfunc=False, release="7.9.2-old")
    words = [f"--kernel={kernel}" for kernel in kernels]
    ended = judge(*words, tests="selftests/test_presence.py")
    assert ended.status == INFRA, ended.text
    assert f"no test covers kfunc {NINTH} of 7.9.1-new; " in ended.line
    assert judge(*words, "--accept-kfunc", NINTH, tests="selftests/test_presence.py").status == GOOD


def test_a_kernel_without_the_known_kfuncs_is_bad_whatever_else_it_has(tmp_path: Path, judge: Judge) -> None:
    functions = ["mem_cgroup_css_alloc", Function(NINTH, (MEMCG,), tagged=True)]
    kernel = written(tmp_path / "odd", fakekernel.image(functions=functions, config=fakekernel.CONFIG))
    ended = judge("--kernel", kernel, tests="selftests/test_presence.py")
    assert ended.status == BAD, ended.text
    assert "has none of the memcg BPF kfuncs" in ended.line
