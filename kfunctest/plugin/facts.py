# SPDX-License-Identifier: GPL-2.0-only
"""What every report says of a run: what was judged, by what and with what."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from kfunctest.errors import KfunctestError
from kfunctest.kernels import usersgit
from kfunctest.kernels.model import Kernel
from kfunctest.plugin import header
from kfunctest.plugin import plan as plans
from kfunctest.plugin.session import Session
from kfunctest.results import JudgedKernel, now

CHECKOUT = Path(__file__).resolve().parents[2]


def of_run(config: pytest.Config, session: Session, *, look_up: bool) -> dict[str, Any]:
    """What is known of a run before its first test, by the names of :class:`kfunctest.results.Run`.

    ``look_up`` is whether what was not looked up yet may be, which takes seconds and may end the run.
    """
    kernels = session.kernels if look_up else session.resolved
    accelerator = f"{session.accelerator.name} ({session.accelerator.why})" if look_up else ""
    names = plans.kernel_names(kernels)
    return {
        "started": now(),
        "command": shlex.join(["pytest", *map(str, config.invocation_params.args)]),
        "accelerator": accelerator,
        "versions": _versions(session),
        "kernels": tuple(_judged(name, kernel, session, config) for name, kernel in zip(names, kernels, strict=True)),
        "project": _project(),
    }


def _judged(name: str, kernel: Kernel, session: Session, config: pytest.Config) -> JudgedKernel:
    made, contract = kernel.provenance, session.contract(kernel)
    return JudgedKernel(
        id=name,
        spec=kernel.spec,
        release=kernel.release,
        origin=kernel.origin,
        contract=contract.name if contract else "",
        how_contract=header.how(kernel, config.getoption("contract")) if contract else "the kfuncs are absent",
        patches=made.patches if made else (),
        flavours=made.flavours if made else (),
        config_digest=kernel.config_digest or "",
        compiler=kernel.compiler or "",
        image=str(kernel.image),
        untested=header.untested(kernel, config.getoption("accept_kfunc")),
    )


def _versions(session: Session) -> str:
    try:
        return session.versions()
    except KfunctestError as error:
        return str(error)


def _project() -> str:
    """The commit that this suite is at; empty where it is no git checkout or there is no git."""
    try:
        return usersgit.ask(CHECKOUT, "describe", "--always", "--dirty").stdout.strip()
    except KfunctestError:
        return ""
