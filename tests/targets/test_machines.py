# SPDX-License-Identifier: GPL-2.0-only
"""The kernel that a machine runs, judged on that machine and from another one; the machine goes on living.

The machine is a VM, in which the suite is run as a user would; for ssh it is its own other machine.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from kfunctest.results import Outcome, Run
from tests.targets import machine, sshd
from tests.targets.suite import command, recorded

pytestmark = pytest.mark.targets

#: Tests that need a VM booted in their own way, or that no living machine is to suffer.
SPARED = "not applicable: could crash or dirty this machine"


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """One VM for all: the suite on the machine itself and then by ssh, and what is there before and after each."""
    folder = tmp_path_factory.mktemp("machine")
    config = sshd.configured(folder / "ssh")
    script = "\n".join(
        [
            "mkdir -p /run/sshd",
            f"python3 {folder}/traces.py >{folder}/traces-before",
            _run(folder / "local", "--target", "local"),
            f"python3 {folder}/traces.py >{folder}/traces-local",
            _run(folder / "ssh-run", "--target", f"'ssh:-F {config} machine'"),
            f"python3 {folder}/traces.py >{folder}/traces-ssh",
        ]
    )
    return folder, machine.run(folder, script)


def _run(results: Path, *words: str) -> str:
    return " ".join([*command(results, *words), "; echo status $?"])


@pytest.mark.parametrize("name", ["local", "ssh-run"])
def test_the_suite_passes_on_a_machine_as_in_a_vm(output: tuple[Path, str], name: str) -> None:
    folder, text = output
    run: Run = recorded(folder / name, text)
    bad = {result.test: result.message for result in run.results if result.outcome.bad or not run.complete}
    assert bad == {}
    assert run.status == 0, text[-3000:]
    assert run.accelerator.startswith("native (")
    passed = [result for result in run.results if result.outcome is Outcome.PASSED]
    assert len(passed) > 85, f"{len(passed)} passed\n{text[-3000:]}"
    assert run.kernels[0].spec == "running"
    assert run.kernels[0].config_digest, "the configuration was not found"


@pytest.mark.parametrize("name", ["local", "ssh-run"])
def test_what_could_crash_or_dirty_the_machine_is_not_run(output: tuple[Path, str], name: str) -> None:
    folder, text = output
    spared = [r for r in recorded(folder / name, text).results if r.message.startswith(SPARED)]
    assert {result.outcome for result in spared} <= {Outcome.SKIPPED}
    assert all("--allow-destructive" in result.message for result in spared)


@pytest.mark.parametrize("name", ["local", "ssh"])
def test_the_machine_is_left_as_it_was(output: tuple[Path, str], name: str) -> None:
    folder, _ = output
    before = (folder / "traces-before").read_text().splitlines()
    after = (folder / f"traces-{name}").read_text().splitlines()
    assert any(line.startswith("/sys/fs/cgroup") for line in before)
    assert [line for line in after if line not in before] == []
