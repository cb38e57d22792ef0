# SPDX-License-Identifier: GPL-2.0-only
"""pytest-xdist's workers: each has a VM of its own, so there are only as many as this machine holds."""

from __future__ import annotations

import os
import sys

import pytest

from kfunctest.errors import KfunctestError, SpecError


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """What ``-n auto`` means for tests that boot VMs. Others, and who sets xdist's own variable, get its own answer."""
    from kfunctest.plugin import collect
    from kfunctest.target import accelerator, capacity

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
    """End the run before anything is fetched where its workers cannot all have what they need."""
    if hasattr(config, "workerinput"):
        return None
    try:
        _check(config)
    except KfunctestError as error:
        print(f"kfunctest: {error}", file=sys.stderr)  # noqa: T201 (there is no terminal reporter yet)
        return error.exit_status
    return None


def _check(config: pytest.Config) -> None:
    """Raise SpecError for workers that would share one machine's kernel, or exhaust this one's memory."""
    from kfunctest.plugin import collect

    workers = _workers(config)
    if not workers or not collect.may_ask_for_a_kernel(config):
        return
    if (target := config.getoption("target")) != "vm":
        raise SpecError(
            f"the tests of --target {target} share one kernel, and several at once would disturb each other",
            remedy="leave out -n",
        )
    here = sum(spec.startswith("popen") for spec in workers)
    if here > 1:
        from kfunctest.target import capacity

        capacity.room().check(here, config.getoption("memory"))


def _workers(config: pytest.Config) -> list[str]:
    """The execnet specs of the workers to be; none without pytest-xdist or without ``-n`` and ``--tx``."""
    if not config.pluginmanager.hasplugin("xdist") or config.getoption("dist") == "no" or not config.getoption("tx"):
        return []
    from xdist.workermanage import parse_tx_spec_config

    specs: list[str] = parse_tx_spec_config(config)
    return specs
