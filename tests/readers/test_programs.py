# SPDX-License-Identifier: GPL-2.0-only
"""Reports as the programs read them that they are written for: the kernel's own KTAP parser, and Jenkins' schema."""

from __future__ import annotations

import importlib.metadata
import json
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kfunctest import proc
from kfunctest.kernels import source
from kfunctest.reports import cases, junit, ktap
from kfunctest.results import Outcome, Run
from tests.reportruns import CUT, GOOD, RUN

if TYPE_CHECKING:  # every host has this file collected, and few have xmlschema
    import xmlschema

pytestmark = pytest.mark.reports

RUNS = pytest.mark.parametrize("run", [RUN, CUT, GOOD], ids=["all", "cut", "good"])
#: Where the kernel's parser is in its source.
KUNIT = Path("tools/testing/kunit")
#: What kunit.py makes of a test that ended so: it knows no other words than these.
STATUS = {
    Outcome.PASSED: "PASS",
    Outcome.XFAILED: "PASS",
    Outcome.SKIPPED: "SKIP",
    Outcome.FAILED: "FAIL",
    Outcome.XPASSED: "FAIL",
    Outcome.CRASHED: "FAIL",
    Outcome.HUNG: "FAIL",
    Outcome.INFRA: "FAIL",
}


@pytest.fixture(scope="session")
def kunit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """kunit.py from Debian's newest source of Linux 7.2."""
    got = source.resolve("debian:7.2")
    folder = tmp_path_factory.mktemp("linux") / KUNIT
    folder.mkdir(parents=True)
    for path in got.store.git("ls-tree", "--name-only", got.tree, f"{KUNIT}/").stdout.splitlines():
        if path.endswith(".py"):
            (folder / Path(path).name).write_text(got.store.text(got.tree, path) or "")
    return folder / "kunit.py"


@RUNS
def test_the_kernel_s_own_parser_reads_our_ktap(run: Run, kunit: Path, tmp_path: Path) -> None:
    report = tmp_path / "results.ktap"
    report.write_text(ktap.render(run))
    parsed = tmp_path / "parsed.json"
    done = proc.run([sys.executable, kunit, "parse", f"--json={parsed}", report], seconds=60, check=False)
    assert "[ERROR]" not in done.stdout, done.stdout
    found = json.loads(parsed.read_text())
    expected = [STATUS[row.outcome] for _, rows in cases.by_kernel(run) for row in rows]
    assert sorted(case["status"] for case in leaves(found)) == sorted(expected)
    assert found["misc"]["errors"] == 0
    assert (done.status == 0) == (set(expected) <= {"PASS", "SKIP"}), done.stdout


def leaves(group: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from group["test_cases"]
    for inner in group["sub_groups"]:
        yield from leaves(inner)


@pytest.fixture(scope="session")
def junit_schema(tmp_path_factory: pytest.TempPathFactory) -> xmlschema.XMLSchema:
    """junit-10.xsd of Jenkins' xunit plugin, which pytest's source package carries for the same purpose."""
    import xmlschema

    folder = tmp_path_factory.mktemp("pytest")
    version = importlib.metadata.version("pytest")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary=pytest"]
    proc.run([*pip, f"--dest={folder}", f"pytest=={version}"], seconds=300)
    with tarfile.open(next(folder.glob("pytest-*.tar.gz"))) as package:
        content = package.extractfile(f"pytest-{version}/testing/example_scripts/junit-10.xsd")
        assert content is not None
        return xmlschema.XMLSchema(content.read().decode())


@RUNS
def test_our_junit_is_valid_by_jenkins_schema(run: Run, junit_schema: xmlschema.XMLSchema) -> None:
    junit_schema.validate(junit.render(run))


def test_the_schema_refuses_what_is_not_in_it(junit_schema: xmlschema.XMLSchema) -> None:
    assert not junit_schema.is_valid(junit.render(GOOD).replace("<testcase ", "<testcase outcome='crashed' ", 1))
