# SPDX-License-Identifier: GPL-2.0-only
"""What the options alone say: looked at before a test is collected, so that who mistyped a name need not wait."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kfunctest import contract
from kfunctest.errors import InfraError, SpecError
from kfunctest.kernels import spec, user_paths
from kfunctest.machine import capacity
from kfunctest.plugin import targets


def base(config: pytest.Config) -> Path:
    """Where relative paths start: scripts/kfunc changes to the checkout and says where its user was."""
    return Path(os.environ.get("KFUNCTEST_CWD") or config.invocation_params.dir)


def results(config: pytest.Config) -> Path:
    """The folder that holds a folder for each run."""
    chosen: str | None = config.getoption("results")
    return user_paths.written(chosen, base(config)) if chosen else config.rootpath / "results"


def check(config: pytest.Config) -> None:
    """Raise SpecError or InfraError for what cannot be met. Nothing is fetched, built or reached."""
    if declared := config.getoption("contract"):
        contract.by_name(declared)
    if targets.of(config) == "vm":
        for asked in config.getoption("kernel") or ():
            spec.check(asked, base=base(config))
        capacity.check_one(config.getoption("memory"))
    elif config.getoption("frantic"):
        raise SpecError("--frantic is for VMs only, not for a machine with other work", remedy="leave it out")
    folder = results(config)
    make(folder, folder)


def make(folder: Path, root: Path) -> None:
    """Make ``folder``. Raises InfraError that names the ``root`` which the user chose."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = "it is no folder" if root.exists() and not root.is_dir() else error.strerror
        raise InfraError(f"{root} cannot be written ({why})", remedy="choose another with --results") from error
