# SPDX-License-Identifier: GPL-2.0-only
"""The kernel that a machine runs, judged on that machine and from another one; the machine goes on living.

The machine is a VM, in which the suite is run as a user would; for ssh it is its own other machine.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from kfunctest.plugin.targets import DESTRUCTIVE
from kfunctest.results import Outcome, Run
from tests.targets import machine, sshd
from tests.targets.suite import command, marked, recorded

pytestmark = pytest.mark.targets

#: Tests that need a VM booted in their own way, or that no living machine is to suffer.
SPARED = "not applicable: could crash or dirty this machine"
#: Those among them that need no option, so that nothing but the danger can keep them from being run.
NEEDING_NOTHING = {
    "selftests/test_items.py::test_page_state_of_any_number_is_minus_one_or_an_item",
    "selftests/test_items.py::test_vm_events_of_any_number_are_minus_one_or_an_event",
    "selftests/test_memory_events.py::test_memory_events_of_an_index_outside_the_enum_are_minus_one",
    "selftests/test_page_state.py::test_page_state_of_an_index_outside_the_enum_is_minus_one",
    "selftests/test_vm_events.py::test_vm_events_of_an_index_outside_the_enum_are_minus_one",
}


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
    """By name: all that are marked, and no other, some for a reason of their own before that (an option, a CPU)."""
    folder, text = output
    dangerous = marked(" or ".join(DESTRUCTIVE))
    ended = {result.test: result for result in recorded(folder / name, text).results}
    outcomes = {test: ended[test].outcome for test in dangerous}
    assert outcomes == dict.fromkeys(dangerous, Outcome.SKIPPED)
    spared = {test for test, result in ended.items() if result.message.startswith(SPARED)}
    assert NEEDING_NOTHING <= spared <= dangerous
    assert all(ended[test].message.endswith("--allow-destructive runs it") for test in spared)
    assert all(ended[test].message.startswith("not applicable: ") for test in dangerous - spared)


@pytest.mark.parametrize("name", ["local", "ssh"])
def test_the_machine_is_left_as_it_was(output: tuple[Path, str], name: str) -> None:
    folder, _ = output
    before = (folder / "traces-before").read_text().splitlines()
    after = (folder / f"traces-{name}").read_text().splitlines()
    assert any(line.startswith("/sys/fs/cgroup") for line in before)
    assert [line for line in after if line not in before] == []
