# SPDX-License-Identifier: GPL-2.0-only
"""What is run: each test on each kernel, and one test per annotated BPF program."""

from __future__ import annotations

import pytest

import kfunctest.annotations as programs
from kfunctest.plugin.session import Session


def generate(metafunc: pytest.Metafunc, session: Session) -> None:
    """Parametrize a test that uses the ``kernel`` fixture."""
    _end_if_nothing_can_be_judged(session)
    several = len(session.kernels) > 1
    if several:
        metafunc.parametrize("kernel", session.kernels, ids=lambda kernel: kernel.id, indirect=True, scope="session")
    marker = metafunc.definition.get_closest_marker("bpf_programs")
    if marker:
        source = marker.args[0]
        expected = programs.of_object(session.compiled(source))
        metafunc.parametrize(
            "program, expectation",
            [pytest.param(name, expected[name], id=name) for name in expected],
        )


def _end_if_nothing_can_be_judged(session: Session) -> None:
    """A kernel without the kfuncs fails at once: booting it would teach nothing, and a skip would look like a pass."""
    if any(session.contract(kernel) for kernel in session.kernels):
        return
    kernel = session.kernels[0]
    pytest.exit(
        f"kfunctest: {kernel.release} has none of the memcg BPF kfuncs (no bpf_mem_cgroup_* function in its BTF); "
        "judge a kernel of 7.0 or newer, or one with the series applied",
        returncode=1,
    )
