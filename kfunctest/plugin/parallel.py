# SPDX-License-Identifier: GPL-2.0-only
"""pytest-xdist's workers: each has a VM of its own, so there are only as many as this machine holds."""

from __future__ import annotations

import os
import sys
from typing import Any

import pytest

from kfunctest.errors import EXIT_INFRA, KfunctestError, SpecError
from kfunctest.kernels.model import Kernel
from kfunctest.plugin import SESSION
from kfunctest.plugin.stop import Stop

#: Under which key a worker of pytest-xdist is told what its controller has resolved.
KERNELS = "kfunctest_kernels"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """What ``-n auto`` means for tests that boot VMs. Others, and who sets xdist's own variable, get its own answer."""
    from kfunctest.machine import accelerator, capacity
    from kfunctest.plugin import collect

    if os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS") or not collect.may_ask_for_a_kernel(config):
        return None
    if config.getoption("target") != "vm":
        return 0
    forced = config.getoption("accel")
    try:
        chosen = accelerator.choose(None if forced == "auto" else forced)
    except KfunctestError:
        return 0  # the session meets it too, and says it
    # Under TCG all vCPUs share one thread of the host.
    threads = config.getoption("cpus") if chosen.name == "kvm" else 1
    return capacity.room().workers(capacity.size_of(config.getoption("memory")), threads)


def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """End the run before anything is collected where its options or the number of its workers cannot be met."""
    from kfunctest.plugin import collect, options

    if hasattr(config, "workerinput") or not collect.may_ask_for_a_kernel(config):
        return None
    try:
        options.check(config)
        _check(config)
    except KfunctestError as error:
        print(f"kfunctest: {error}", file=sys.stderr)  # noqa: T201 (there is no terminal reporter yet)
        return error.exit_status
    return None


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell each worker, which may run elsewhere, what is judged."""
    session = node.config.stash[SESSION]
    node.workerinput[KERNELS] = [_identity(kernel) for kernel in session.resolved]


def same_kernels(session: pytest.Session) -> None:
    """End the run where a worker on another machine has another kernel for the same words, a newer one as a rule.

    To be called before xdist's own hook says that the worker is ready for tests.
    """
    told = getattr(session.config, "workerinput", {}).get(KERNELS)
    for expected, kernel in zip(told or (), session.config.stash[SESSION].resolved, strict=False):
        if list(expected) != list(_identity(kernel)):
            options, here = f"{expected[0]} ({expected[1]})", f"{kernel.release} ({_identity(kernel)[1]})"
            line = f"--kernel {kernel.spec} is {options} for the controller and {here} on {os.uname().nodename}"
            raise Stop(f"{line}; bring all machines up to date: scripts/setup --update", EXIT_INFRA)


def _identity(kernel: Kernel) -> tuple[str, str, str]:
    """What tells kernels apart: two builds of one source are the same, though not to the last byte."""
    content = kernel.provenance.tree if kernel.provenance else kernel.image_digest
    return kernel.release, content, kernel.config_digest or ""


def _check(config: pytest.Config) -> None:
    """Raise SpecError for workers that would share one machine's kernel, or exhaust this one's memory."""
    if not (workers := _workers(config)):
        return
    if (target := config.getoption("target")) != "vm":
        raise SpecError(
            f"the tests of --target {target} share one kernel, and several at once would disturb each other",
            remedy="leave out -n",
        )
    here = sum(spec.startswith("popen") and "//via=" not in spec for spec in workers)
    if here > 1:
        from kfunctest.machine import capacity

        capacity.room().check(here, config.getoption("memory"))


def _workers(config: pytest.Config) -> list[str]:
    """The execnet specs of the workers to be; none without pytest-xdist or without ``-n`` and ``--tx``."""
    if not config.pluginmanager.hasplugin("xdist") or config.getoption("dist") == "no" or not config.getoption("tx"):
        return []
    from xdist.workermanage import parse_tx_spec_config

    specs: list[str] = parse_tx_spec_config(config)
    return specs
