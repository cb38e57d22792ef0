# SPDX-License-Identifier: GPL-2.0-only
"""The one command line that repeats a failure: same kernel, same test."""

from __future__ import annotations

import shlex

import pytest


def command(nodeid: str, config: pytest.Config) -> str:
    """The command line for one test, with the options of this run that decide what is judged."""
    words = ["scripts/kfunc"]
    machine = config.getoption("target") != "vm"
    for spec in config.getoption("kernel") or (() if machine else ["debian"]):
        words += ["--kernel", spec]
    for option in ("contract", "debian_mirror", *(("target",) if machine else ())):
        if value := config.getoption(option):
            words += [f"--{option.replace('_', '-')}", value]
    if machine:
        return shlex.join([*words, *(["--allow-destructive"] * config.getoption("allow_destructive")), nodeid])
    if (accelerator := config.getoption("accel")) != "auto":
        words += ["--accel", accelerator]
    words += ["--frantic"] * config.getoption("frantic")
    if (count := config.getoption("count", 1)) > 1:  # pytest-repeat's: the test's name has which of them it was
        words += ["--count", str(count)]
    words += ["--cpus", str(config.getoption("cpus")), "--memory", config.getoption("memory")]
    return shlex.join([*words, nodeid])
