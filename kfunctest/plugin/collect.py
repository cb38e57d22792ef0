# SPDX-License-Identifier: GPL-2.0-only
"""What is run: each test on each kernel, and one test per annotated BPF program."""

from __future__ import annotations

import re
from collections.abc import Container
from pathlib import Path

import pytest

import kfunctest.verifier_annotations as programs
from kfunctest.kernels.model import Kernel
from kfunctest.plugin.session import Session
from kfunctest.plugin.stop import Stop

#: Where the tests are that judge a kernel.
SUITE = Path(__file__).resolve().parents[2] / "selftests"
#: Markers of tests that run only where ``-m`` names them.
ON_REQUEST = (
    *("network", "soak", "evidence", "faults", "targets", "reports", "browser", "upstream", "history", "bench"),
    "smoke",
)


def generate(metafunc: pytest.Metafunc, session: Session) -> None:
    """Parametrize a test that uses the ``kernel`` fixture.

    What cannot be had here (a kernel, a BPF program) is kept for :func:`finish`: the test may yet be deselected.
    """
    try:
        if session.asked_for_several and len(session.kernels) > 1:
            metafunc.parametrize(
                "kernel", _kernels(metafunc, session), ids=lambda kernel: kernel.id, indirect=True, scope="session"
            )
        marker = metafunc.definition.get_closest_marker("bpf_programs")
        if marker:
            metafunc.parametrize("program", list(programs.of_object(session.compiled(marker.args[0]))))
    except Stop as stop:
        session.not_collected[metafunc.function] = stop


def _kernels(metafunc: pytest.Metafunc, session: Session) -> list[Kernel]:
    """The kernels that a test is run on; one without the kfuncs fails once, not in every test."""
    marker = metafunc.definition.get_closest_marker("kfunc")
    if marker and marker.kwargs.get("name") == "presence":
        return session.kernels
    return [kernel for kernel in session.kernels if session.contract(kernel)]


def leave_out_what_nobody_asked_for(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests marked with one of ON_REQUEST that the ``-m`` expression does not name."""
    unasked = [name for name in ON_REQUEST if not re.search(rf"\b{name}\b", config.option.markexpr)]
    left_out = [item for item in items if any(item.get_closest_marker(name) for name in unasked)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def finish(items: list[pytest.Item], session: Session, *, run: bool) -> None:
    """End the run in one line where a test that is left after all deselection lacks something.

    With ``run`` the kernels are fetched now, unless no test asks for one.
    """
    asking = [item for item in items if "kernel" in getattr(item, "fixturenames", ())]
    for item in asking:
        if missing := session.not_collected.get(getattr(item, "function", None)):
            raise missing
    if asking and run:
        session.prepare()


def may_ask_for_a_kernel(config: pytest.Config) -> bool:
    """Whether a run could hold tests that judge a kernel, for a controller of pytest-xdist, which collects nothing."""
    paths = [Path(config.invocation_params.dir, word.split("::")[0]).resolve() for word in config.args]
    suite = any(SUITE.is_relative_to(path) or path.is_relative_to(SUITE) for path in paths)
    excluded = re.search(r"\bnot kfunc\b", config.option.markexpr)
    return suite and not excluded and not config.option.collectonly


def nothing_selected(config: pytest.Config, left_out: Container[str]) -> str:
    """What chose no test, and how to see them all, in one line; ``left_out``: markers of tests that were left out."""
    given = (("-k", config.option.keyword), ("-m", config.option.markexpr))
    words = [f"{option} {text!r}" for option, text in given if text]
    on_request = [f"-m {name}" for name in ON_REQUEST if name in left_out]
    only = f"; some run only where they are asked for: {', '.join(on_request)}" if on_request else ""
    return (
        f"no test was selected by {' and '.join(words) or 'these paths'}; "
        f"scripts/kfunc --collect-only -q lists their names{only}"
    )
