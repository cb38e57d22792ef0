# SPDX-License-Identifier: GPL-2.0-only
"""Upstream's own BPF selftests get upstream's verdicts from our loader: docs/upstream.md is what came of it.

So a program that a kernel developer annotated for the kernel's tree means the same here.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from kfunctest.kernels.model import Kernel
from kfunctest.machine.vm import Vm
from tests.upstream import page, sources
from tests.upstream.reasons import REASONS
from tests.upstream.verdicts import judge

pytestmark = pytest.mark.upstream

#: The source whose programs are judged; the kernel should be made of the same.
SOURCE = "debian:7.2"
#: What our reading of the annotations is held to.
PROGRAMS, AGREEMENT = 800, 0.95


def test_upstreams_programs_get_upstreams_verdicts(vm: Vm, kernel: Kernel, tmp_path: Path, consoles: Path) -> None:
    """At least 800 programs, 95 in 100 with upstream's verdict, and each of the others with its reason."""
    words = sources.unpack(SOURCE, tmp_path)
    found = judge(vm, sources.compile_all(tmp_path))
    page.write(found, words, kernel.release)
    (consoles / "upstream.txt").write_text(
        "".join(f"== {one.name}\n{one.wrong}\n" for one in found.judged if one.wrong)
    )
    assert len(found.judged) >= PROGRAMS, f"programs judged: expected {PROGRAMS} or more, seen {len(found.judged)}"
    share = found.agreeing / len(found.judged)
    assert share >= AGREEMENT, f"verdicts that are upstream's: expected {AGREEMENT:.0%}, seen {share:.1%}: {consoles}"
    different = {one.name for one in found.judged if one.wrong}
    unexplained = sorted(different - set(REASONS))
    assert not unexplained, f"verdicts that differ from upstream's without a reason: {unexplained}: {consoles}"
    stale = sorted(set(REASONS) - different)
    assert not stale, f"verdicts that agree, although a reason is given why they would not: {stale}"
