# SPDX-License-Identifier: GPL-2.0-only
"""A matrix of which one kernel does not build: the others are judged, and the gate says that it could not judge all."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from kfunctest import proc
from kfunctest.gate import record
from tests.faults.running import CHECKOUT, SECONDS, assert_nothing_is_left
from tests.faults.table import UNJUDGED

pytestmark = pytest.mark.faults

TEST = "test_usage_equals_memory_current"
KERNELS = """
["broken"]
source = "debian:7.2"
patches = ["broken.patch"]

["7.2-faults"]
source = "debian:7.2"
flavours = ["faults"]
"""
#: What make comes to early.
PATCH = """Subject: [PATCH] init: what no compiler takes
---
--- a/init/version.c
+++ b/init/version.c
@@ -1,3 +1,4 @@
 // SPDX-License-Identifier: GPL-2.0-only
+#error "made by a test"
 /*
  *  linux/init/version.c
"""


def test_a_kernel_of_the_matrix_does_not_build(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    for name in ("kfunctest", "selftests", "kernel-config", "docs"):
        shutil.copytree(CHECKOUT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(CHECKOUT / name, checkout)
    (checkout / "kernel-config" / "kernels.toml").write_text(KERNELS)
    (checkout / "kernel-config" / "broken.patch").write_text(PATCH)
    for lists in (checkout / "kernel-config").glob("*LIST.*"):
        lists.unlink()  # of kernels that are no longer named
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    argv = [sys.executable, "-m", "kfunctest.gate", "--results", str(tmp_path / "results"), "--", "-k", TEST]
    done = proc.run(argv, seconds=SECONDS, cwd=checkout, env={"TMPDIR": str(temporary)}, check=False)
    said = done.stdout + done.stderr
    assert_nothing_is_left(temporary, 1.0)
    matrix = record.read(tmp_path / "results" / "gate-latest" / record.NAME)
    broken, good = matrix.rows
    assert "init/version.c" in broken.problem, said
    assert not broken.results, said
    assert good.judged, said
    assert [(test.rpartition("::")[2], str(result.outcome)) for test, result in good.results.items()] == [
        (TEST, "passed")
    ], said
    assert done.status == UNJUDGED, said
