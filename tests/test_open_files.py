# SPDX-License-Identifier: GPL-2.0-only
"""A limit on open files that is too low for a VM: raised where that is allowed, else reported before anything boots.

QEMU has those files open that the guest has, so its limit would look like a fault of the guest's.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from kfunctest import proc

CHECKOUT = Path(__file__).resolve().parents[1]
CHECK = """
import resource
from kfunctest.errors import InfraError
from kfunctest.machine import host_checks
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
try:
    host_checks.check()
    print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
except InfraError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("soft", "hard", "expected"),
    [
        (40, 4096, "1024"),
        (40, 512, "512"),
        (2048, 4096, "2048"),
        (40, 255, "a process may have 255 files open here, and a VM needs 256; raise the limit: ulimit -n 1024"),
    ],
)
def test_the_limit_on_open_files(soft: int, hard: int, expected: str) -> None:
    code = CHECK.format(soft=soft, hard=hard)
    assert proc.run([sys.executable, "-c", code], seconds=60, cwd=CHECKOUT).stdout.strip() == expected
