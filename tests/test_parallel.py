# SPDX-License-Identifier: GPL-2.0-only
"""How many workers of pytest-xdist are run, and how many are refused."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from kfunctest import proc
from kfunctest.errors import SpecError
from kfunctest.machine import capacity
from kfunctest.machine.capacity import OVERHEAD, SPARE, GiB, MiB, Room
from tests import fakekernel
from tests.pytest_result import Judge, assert_matches

CHECKOUT = Path(__file__).resolve().parents[1]
USAGE = 4


def machine(root: Path, available: int, **limits: str) -> Path:
    """A /proc and a /sys of a machine with four CPUs, where we are in the cgroup ``outer/inner``.

    ``limits`` are files of a cgroup by ``outer_memory_max`` and the like.
    """
    inner = root / "sys/fs/cgroup/outer/inner"
    inner.mkdir(parents=True)
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text(f"MemTotal:       99999999 kB\nMemAvailable:   {available >> 10} kB\n")
    (root / "proc/cpuinfo").write_text("processor\t: 0\n" * 4)
    (root / "proc/self/cgroup").write_text("0::/outer/inner\n")
    for name, text in limits.items():
        group, _, file = name.partition("_")
        folder = inner if group == "inner" else inner.parent
        (folder / file.replace("_", ".")).write_text(text + "\n")
    return root


def test_room_is_what_the_machine_has(tmp_path: Path) -> None:
    assert capacity.room(machine(tmp_path, 8 * GiB)) == Room(8 * GiB, 4)


def test_room_is_what_the_container_leaves(tmp_path: Path) -> None:
    """The limit of a group above ours counts too; page cache in it does not."""
    limits = {
        "outer_memory_max": str(3 * GiB),
        "outer_memory_current": str(2 * GiB),
        "outer_memory_stat": f"anon 5\ninactive_file {512 * MiB}\nactive_file {512 * MiB}",
        "inner_memory_max": "max",
        "inner_memory_current": "7",
        "inner_memory_stat": "anon 7",
        "inner_cpu_max": "150000 100000",
    }
    assert capacity.room(machine(tmp_path, 8 * GiB, **limits)) == Room(2 * GiB, 2)


def test_one_vm_may_be_as_large_as_the_machine_or_its_container(tmp_path: Path) -> None:
    """What others use at the moment is no reason to refuse it."""
    here = machine(tmp_path / "here", GiB)
    capacity.check_one("90G", here)
    with pytest.raises(
        SpecError, match=r"^a VM of 100G does not fit: there are 95\.4 GiB here; use a smaller --memory$"
    ):
        capacity.check_one("100G", here)
    inside = machine(tmp_path / "inside", GiB, outer_memory_max=str(3 * GiB), inner_memory_max="max")
    capacity.check_one("3G", inside)
    with pytest.raises(SpecError, match=r"there are 3\.0 GiB here"):
        capacity.check_one("4G", inside)


@pytest.mark.parametrize(
    ("room", "threads", "workers"),
    [
        (Room(64 * GiB, 8), 1, 8),
        (Room(64 * GiB, 8), 2, 4),
        (Room(3 * (GiB + OVERHEAD) + SPARE, 8), 1, 3),
        (Room(3 * (GiB + OVERHEAD) + SPARE - 1, 8), 1, 2),
        (Room(GiB, 1), 2, 1),
    ],
    ids=["cpus", "KVM", "memory", "almost", "one at least"],
)
def test_workers_by_memory_and_cpus(room: Room, threads: int, workers: int) -> None:
    assert room.workers(GiB, threads) == workers


def test_more_than_memory_holds_are_refused() -> None:
    room = Room(3 * (GiB + OVERHEAD) + SPARE, 2)
    room.check(3, "1G")
    room.check(5, "300M")
    with pytest.raises(SpecError, match=r"^4 VMs of 1G at once need 6\.2 GiB, and 4\.8 GiB are available; use -n 3"):
        room.check(4, "1G")
    with pytest.raises(SpecError, match=r"leave out -n, or use a smaller --memory$"):
        Room(GiB, 2).check(2, "1G")


def test_a_run_with_too_many_workers_ends_at_once(judge: Judge, image: Path) -> None:
    ended = judge("--kernel", image, "-n", "999", tests="selftests/test_presence.py")
    assert ended.status == USAGE, ended.text
    assert_matches(r"999 VMs of 1G at once need [\d.]+ GiB, and [\d.]+ GiB are available; use -n \d+", ended.line)


def test_workers_elsewhere_need_no_memory_here(judge: Judge, image: Path) -> None:
    """Whether they come up is their machine's affair; this one does not answer, and nothing else is wrong."""
    ended = judge("--kernel", image, "-d", "--tx", "999*socket=127.0.0.1:1", tests="selftests/test_presence.py")
    assert "Connection refused" in ended.text
    assert "at once need" not in ended.text


def test_as_many_workers_as_there_is_room_for(judge: Judge, image: Path) -> None:
    """One VM of almost all the memory, whatever the CPUs."""
    here = capacity.room()
    words = ("-n", "auto", "--memory", f"{(here.memory * 2 // 3) >> 20}M")
    ended = judge("--kernel", image, *words, tests="selftests/test_presence.py")
    assert ended.status == 0, ended.text
    assert "1 worker" in ended.text
    assert f"kernel: {fakekernel.RELEASE} " in ended.text


@pytest.mark.parametrize("workers", ["2", "1"])
def test_one_living_machine_has_no_workers(judge: Judge, workers: str) -> None:
    ended = judge("--target", "local", "-n", workers, tests="selftests/test_presence.py")
    assert ended.status == USAGE, ended.text
    assert_matches("--target local share one kernel, .*; leave out -n", ended.line)


CHECKS = """
import pytest
from dataclasses import replace
from pathlib import Path
from kfunctest.kernels.model import Facts, Kernel
from kfunctest.plugin import SESSION
pytest_plugins = ["kfunctest.plugin.hooks"]
facts = Facts((), frozenset({"bpf_mem_cgroup_usage"}), frozenset(), memcg=True, btf_size=0)
KERNEL = Kernel("debian", "7.9.1", Path("/dev/null"), "d1", None, "a test's", None, None, facts)
@pytest.hookimpl(trylast=True)
def pytest_configure(config):
    session = config.stash[SESSION]
    newer = replace(KERNEL, release="7.9.2", image_digest="d2")
    session._kernels = [newer if "@HERE@" == "newer" and hasattr(config, "workerinput") else KERNEL]
"""


@pytest.mark.parametrize(("here", "status"), [("same", 0), ("newer", 3)])
def test_workers_judge_the_controllers_kernel(tmp_path: Path, here: str, status: int) -> None:
    """On another machine "newest" may be another one."""
    (tmp_path / "pyproject.toml").write_text((CHECKOUT / "pyproject.toml").read_text())
    (tmp_path / "conftest.py").write_text(CHECKS.replace("@HERE@", here))
    (tmp_path / "test_it.py").write_text("import pytest\npytestmark = pytest.mark.kfunc\ndef test_it(): pass\n")
    argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:kfunctest-splats", "--rootdir", "."]
    argv += ["-o", f"pythonpath={CHECKOUT}", "-n", "1", "."]
    done = proc.run(argv, seconds=60, cwd=tmp_path, check=False)
    text = done.stdout + done.stderr
    assert done.status == status, text
    why = "--kernel debian is 7.9.1 (d1) for the controller and 7.9.2 (d2) on "
    assert (why in text) == (here == "newer"), text
