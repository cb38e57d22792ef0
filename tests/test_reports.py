# SPDX-License-Identifier: GPL-2.0-only
"""The reports for programs, each read back: what each outcome becomes, that no text breaks them, no cut run passes."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import pytest
from junitparser import JUnitXml
from kcidb_io.schema import LATEST

from kfunctest.reports import bpf_ci, cases, junit, kcidb, ktap
from kfunctest.reports.sanitize import MOST, one_line, printable, tail
from kfunctest.results import Outcome, Run
from tests.reportruns import COUNTS, CUT, GOOD, HOSTILE, KERNEL, OTHER, RUN, SPLAT

NO_KERNEL = replace(GOOD, kernels=(), results=(), planned=(), status=3, stopped="no network")


def cases_of(xml: str) -> dict[tuple[str, str], Any]:
    """The elements of all test cases, by suite and name."""
    root = ElementTree.fromstring(xml)
    return {(suite.get("name", ""), case.get("name", "")): case for suite in root for case in suite.findall("testcase")}


def test_junit_keeps_the_outcomes_apart() -> None:
    found = cases_of(junit.render(RUN))
    kinds = {
        name: [(child.tag, child.get("type")) for child in case if child.tag != "system-out"]
        for (suite, name), case in found.items()
        if suite == KERNEL.id
    }
    assert kinds == {
        "test_passes": [],
        "test_fails": [("failure", "failed")],
        "test_crashes": [("error", "crashed")],
        "test_hangs": [("error", "hung")],
        "test_infra": [("error", "infra")],
        "test_skips": [("skipped", "skipped")],
        "test_quirk": [("skipped", "xfailed")],
        "test_gone": [("failure", "xpassed")],
        "test_refused[a#b-<c>]": [("failure", "failed")],
    }
    assert list(found[OTHER.id, "test_passes"]) == []


def test_junit_counts_and_says_where_it_comes_from() -> None:
    document = JUnitXml.fromstring(junit.render(RUN).encode())
    assert (document.tests, document.failures, document.errors) == (10, 3, 3)
    first = next(iter(document))
    assert (first.tests, first.failures, first.errors, first.skipped) == (9, 3, 3, 2)
    facts = {fact.name: fact.value for fact in first.properties()}  # type: ignore[no-untyped-call]
    assert facts["accelerator"] == RUN.accelerator
    assert facts["contract"] == "v7.0 (identified by BTF)"
    assert facts["patch"] == "0123456789ab memcg: a <b>patch</b> & more"
    assert (facts["configuration"], facts["command"], facts["versions"]) == ("abcdef", RUN.command, RUN.versions)


def test_junit_carries_hostile_text_whole() -> None:
    found = cases_of(junit.render(RUN))
    assert printable(HOSTILE) in found[KERNEL.id, "test_fails"].find("failure").text
    shown = found[KERNEL.id, "test_refused[a#b-<c>]"].find("system-out").text
    assert shown.count(printable(HOSTILE)) == 5
    assert "scripts/kfunc --kernel 7.2-slim" in found[KERNEL.id, "test_fails"].find("failure").text


def test_a_flooded_console_does_not_flood_junit() -> None:
    flooded = replace(RUN.results[1], log="x\n" * 5_000_000 + "the end")
    text = junit.render(replace(RUN, results=(flooded,)))
    assert "the end</system-out>" in text
    assert "[the first 9800007 characters are in results.jsonl]" in text
    assert len(text) < 2 * MOST


def results_at(text: str, depth: int) -> list[str]:
    return re.findall(rf"^ {{{2 * depth}}}((?:not )?ok \d+ .*)$", text, re.MULTILINE)


def test_ktap_keeps_the_outcomes_apart() -> None:
    text = ktap.render(RUN)
    assert results_at(text, 0) == ["not ok 1 7.2-slim", "ok 2 6.12_2"]
    assert results_at(text, 1) == [
        "not ok 1 selftests/test_usage.py",
        "not ok 2 selftests/test_verifier.py",
        "ok 1 selftests/test_usage.py",
    ]
    assert results_at(text, 2) == [
        "ok 1 test_passes",
        "not ok 2 test_fails",
        "not ok 3 test_crashes # ERROR crashed: Kernel panic - not syncing - VFS: Unable to mount root fs",
        "not ok 4 test_hangs # TIMEOUT hung: no answer within 60 s",
        "not ok 5 test_infra # ERROR infra: QEMU was killed by signal 9",
        "ok 6 test_skips # SKIP skipped: not applicable: contract v7.0",
        "ok 7 test_quirk # XFAIL xfailed: a known quirk",
        "not ok 8 test_gone",
        "not ok 1 test_refused[a_b-<c>]",
        "ok 1 test_passes",
    ]


@pytest.mark.parametrize("run", [RUN, CUT, GOOD, NO_KERNEL], ids=["all", "cut", "good", "none"])
def test_ktap_has_as_many_results_as_it_plans_and_nothing_forged(run: Run) -> None:
    """By the grammar: a plan for each group, and nothing else than comments between results."""
    text = ktap.render(run)
    for depth in range(3):
        plans = re.findall(rf"^ {{{2 * depth}}}1\.\.(\d+)$", text, re.MULTILINE)
        assert sum(map(int, plans)) == len(results_at(text, depth))
    names = [{line.partition(" # ")[0].split(" ", 2 + line.startswith("not"))[-1] for line in results_at(text, depth)}
             for depth in range(3)]  # fmt: skip
    assert not names[0] & names[1]
    assert not names[1] & names[2], "kunit.py takes a result of its group's name for the group's"
    assert "forged" not in "".join(results_at(text, 0) + results_at(text, 1) + results_at(text, 2))
    assert not re.search(r"List of all partitions:|not syncing: VFS:|reboot: System halted|^ *# Subtest: f", text)
    grammar = r" *(?:KTAP version 1|1\.\.\d+|#.*|(?:not )?ok \d+ .*)|"
    assert [line for line in text.split("\n") if not re.fullmatch(grammar, line)] == []


def test_ktap_says_how_to_repeat_a_failure_and_where_it_comes_from() -> None:
    text = ktap.render(RUN)
    assert "    #  scripts/kfunc --kernel 7.2-slim selftests/test_usage.py::test_fails\n" in text
    assert f"#  accelerator: {RUN.accelerator}\n" in text
    assert "  #  patch: 0123456789ab memcg: a <b>patch</b> & more\n" in text


def test_test_progs_json_is_what_bpf_ci_reads() -> None:
    """The counts of files and tests; the failed ones only, each with its message."""
    report = json.loads(bpf_ci.render(RUN))
    counts = {key: report[key] for key in ("success", "success_subtest", "skipped", "failed")}
    assert counts == {"success": 1, "success_subtest": 3, "skipped": 1, "failed": 2}
    assert [(test["name"], test["number"], test["failed"]) for test in report["results"]] == [
        ("7.2-slim/usage", 1, True),
        ("7.2-slim/verifier", 2, True),
    ]
    subtests = {subtest["name"]: subtest for subtest in report["results"][0]["subtests"]}
    assert list(subtests) == ["test_fails", "test_crashes", "test_hangs", "test_infra", "test_gone"]
    assert subtests["test_crashes"]["message"].startswith("crashed: Kernel panic")
    assert "scripts/kfunc --kernel" in subtests["test_fails"]["message"]
    assert report["kfunctest"]["counts"] == COUNTS
    assert report["kfunctest"]["kernels"][0]["patches"] == ["0123456789ab memcg: a <b>patch</b> & more"]
    assert report["kfunctest"]["accelerator"] == RUN.accelerator


@pytest.mark.parametrize("run", [RUN, CUT, GOOD, NO_KERNEL], ids=["all", "cut", "good", "none"])
def test_kcidb_is_valid_by_kernelci_s_own_schema(run: Run) -> None:
    report = json.loads(kcidb.render(run))
    LATEST.validate_exactly(report)
    assert LATEST.count(report) == 2 * max(1, len(run.kernels)) + len(cases.of_run(run))
    assert len({test["id"] for test in report["tests"]}) == len(report["tests"])


def test_kcidb_statuses() -> None:
    report = json.loads(kcidb.render(RUN, origin="my_ci"))
    by_outcome = {(test["misc"]["outcome"], test["status"]) for test in report["tests"]}
    assert by_outcome == {
        ("passed", "PASS"),
        ("failed", "FAIL"),
        ("crashed", "FAIL"),
        ("hung", "FAIL"),
        ("infra", "ERROR"),
        ("skipped", "SKIP"),
        ("xfailed", "DONE"),
        ("xpassed", "FAIL"),
    }
    assert all(test["id"].startswith("my_ci:") for test in report["tests"])
    assert report["tests"][0]["path"] == "kfunctest.selftests.test_usage.test_passes"
    assert report["checkouts"][0]["misc"]["patches"] == ["0123456789ab memcg: a <b>patch</b> & more"]
    assert report["builds"][0]["misc"]["configuration"] == "abcdef"
    assert {test["build_id"] for test in report["tests"]} == {build["id"] for build in report["builds"]}


def test_kcidb_keeps_the_end_of_a_long_log() -> None:
    long = replace(RUN.results[1], log="x" * 50000 + "\nthe end")
    report = json.loads(kcidb.render(replace(RUN, results=(long,), planned=())))
    excerpt = report["tests"][0]["log_excerpt"]
    assert len(excerpt) <= kcidb.EXCERPT
    assert excerpt.endswith("the end")


def test_what_was_never_reached_passes_nowhere() -> None:
    """Nor do splats between tests, nor the run's own end."""
    bad = {name for (_, name), case in cases_of(junit.render(CUT)).items() if len(case)}
    assert len(bad) == 3
    assert "test_fails" in bad
    assert sum("not ok" in line for line in results_at(ktap.render(CUT), 2)) == 3
    report = json.loads(bpf_ci.render(CUT))
    assert sum(len(test["subtests"]) for test in report["results"]) == 3
    statuses = [test["status"] for test in json.loads(kcidb.render(CUT))["tests"]]
    assert sorted(statuses) == ["ERROR", "FAIL", "MISS", "PASS"]
    assert any(SPLAT.line in row.message for row in cases.of_run(CUT))


def test_a_run_without_any_result_is_no_pass() -> None:
    assert "no network" in junit.render(NO_KERNEL)
    assert JUnitXml.fromstring(junit.render(NO_KERNEL).encode()).errors == 1
    assert results_at(ktap.render(NO_KERNEL), 2) == ["not ok 1 the run # ERROR infra: no network"]
    assert json.loads(bpf_ci.render(NO_KERNEL))["failed"] == 1


def test_reports_of_several_workers_have_the_order_of_one() -> None:
    shuffled = replace(RUN, results=RUN.results[::-1])
    for render in (junit.render, ktap.render, bpf_ci.render, kcidb.render):
        assert render(shuffled) == render(RUN)


def test_a_good_run_is_good_everywhere() -> None:
    document = JUnitXml.fromstring(junit.render(GOOD).encode())
    assert (document.tests, document.failures, document.errors) == (1, 0, 0)
    assert "not ok" not in ktap.render(GOOD)
    report = json.loads(bpf_ci.render(GOOD))
    assert (report["success"], report["failed"], report["results"]) == (1, 0, [])
    assert [test["status"] for test in json.loads(kcidb.render(GOOD))["tests"]] == ["PASS"]


def test_printable_text_shows_every_byte_that_it_does_not_send() -> None:
    shown = printable("a\x00b\x1b[31m\r\nc\rd\x9b\udc80\ufffe\te\n")
    assert shown == "a␀b␛[31m\nc␍d\\x9b\\udc80\\ufffe\te\n"
    shown.encode()


def test_short_text() -> None:
    assert one_line("a\n b\x00") == "a b␀"
    assert one_line("x" * 400, most=10) == "xxxxxxx..."
    assert tail("first\nsecond\nthird", 14) == "second\nthird"[-12:]
    assert tail("abc", 2) == "bc"
    assert tail("abc", 3) == "abc"


def test_every_outcome_has_a_place_in_every_report() -> None:
    assert set(kcidb.STATUS) == set(Outcome)
    assert {result.outcome for result in RUN.results} == set(Outcome)
