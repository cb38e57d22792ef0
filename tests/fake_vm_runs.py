# SPDX-License-Identifier: GPL-2.0-only
"""A project whose kernel is played, a log in memory behind the functions of the guest's agent; how its runs end."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kfunctest import proc

CHECKOUT = Path(__file__).resolve().parents[1]
CONFTEST = '''
import json
from pathlib import Path
import pytest
from kfunctest.errors import VmDied, VmLost
from kfunctest.kernels.model import Facts, Kernel
from kfunctest.plugin import SESSION
from kfunctest.machine.accelerator import Accelerator
from kfunctest.machine.console import Console
from kfunctest.machine.vm import Vm
from tests.kernellogs import COMPLAINTS

pytest_plugins = ["kfunctest.plugin.hooks"]
options = Path(__file__).with_name("options")
KERNEL = Kernel(
    spec="none", release="7.9.1", image=Path("/nonexistent/vmlinuz"), image_digest="", modules=None, origin="a test's",
    resolved=None, config=tuple(json.loads(options.read_text()).items()) if options.exists() else None,
    facts=Facts(enums=(), kfuncs=frozenset({"bpf_mem_cgroup_usage"}), bpf_functions=frozenset(), memcg=True,
        btf_size=0),
)


class FakeVm(Vm):
    """A kernel's log, its console, its taint; ``once`` is what WARN_ONCE() has said already."""

    def __init__(self, console, boot_log):
        self.kernel, self.lost, self.spent, self.console = KERNEL, None, None, Console(console)
        self.accelerator = Accelerator("kvm", "", 1)
        self.records, self.read, self.taint, self.once, self.room = [], 0, 0, set(), 10000
        self.dies_at, self.unprinted = "", None
        self.requests, self.in_peace = 0, False
        console.touch()
        self.say(boot_log)

    def say(self, text, priority=4):
        for line in text.splitlines():
            self.records.append(f"{priority},{len(self.records)},{len(self.records)},-;{line}".encode() + bytes([10]))
            if self.unprinted is None:
                self.print(line)
            else:
                self.unprinted.append(line)

    def print(self, line):
        with self.console.path.open("a") as out:
            print(f"[    1.000000] {line}", file=out)

    @property
    def asked(self):
        """Whatever a test here makes the kernel say, a real one would have been asked for."""
        self.requests += not self.in_peace
        return self.requests

    def warn_once(self):
        if "w" not in self.once:
            self.say(COMPLAINTS["warn"])
            self.once.add("w")

    def lose(self, error):
        self.lost = error
        raise error

    def call(self, function, *args):
        return self.call_within(1, function, *args)

    def call_within(self, seconds, function, *args):
        if self.lost:
            raise self.lost
        return getattr(self, f"_{function.__name__}")(*args)

    def _follow(self, whole):
        return 0, 0

    def _look(self, reader, mark, rearm):
        if self.dies_at and self.dies_at in mark:
            self.say("Kernel panic - not syncing: made up")
            self.lose(VmDied("the kernel panicked", "..."))
        self.say(mark, priority=14)
        oldest = max(self.read, len(self.records) - self.room)
        kept = self.records[oldest:]
        self.read = len(self.records)
        if rearm and any(int(record.split(b",")[0]) < 8 for record in kept):
            self.once.clear()
        return b"".join(kept), True, self.taint, True


@pytest.hookimpl(trylast=True)
def pytest_configure(config):
    session = config.stash[SESSION]
    session._kernels = [KERNEL]
    session.prepare = lambda: None
    booted = []

    def boot(kernel, shape):
        booted.append(1)
        boot_log = config.rootpath / "boot_log"
        text = boot_log.read_text() if boot_log.exists() else "booted"
        return FakeVm(config.rootpath / f"console-{len(booted)}", text)

    session._boot = boot
    session.booted = booted


@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report):
    if hasattr(report, "kfunctest"):
        with Path("reports").open("a") as out:
            out.write(json.dumps({"when": report.when, **report.kfunctest}) + "\\n")


@pytest.fixture
def vm(request):
    return request.config.stash[SESSION].vm(KERNEL)


@pytest.fixture
def boots(request):
    return request.config.stash[SESSION].booted


@pytest.fixture
def late(vm):
    yield
    vm.say(COMPLAINTS["warn"])


@pytest.fixture
def early(vm):
    vm.say(COMPLAINTS["warn"])
'''
TESTS = (
    "import time\nimport pytest\nfrom conftest import *\npytestmark = pytest.mark.kfunc\nWARN = COMPLAINTS['warn']\n"
)
GOOD = "def test_good(vm): vm.say('all is well')"
BAD = "def test_bad(vm): vm.say(WARN)"


@dataclass
class Ran:
    status: int
    text: str
    #: What each phase's report carries, in order.
    phases: list[dict[str, object]]

    def outcome(self, test: str) -> str:
        """The first outcome of a test that is not ``passed``."""
        found = [str(carried["outcome"]) for carried in self.phases if str(carried["test"]).endswith(f"::{test}")]
        assert found, f"{test} was not run:\n{self.text}"
        return next((outcome for outcome in found if outcome != "passed"), "passed")

    def message(self, test: str) -> str:
        """The message of the first phase that has one."""
        of_test = [carried for carried in self.phases if str(carried["test"]).endswith(f"::{test}")]
        return next((str(carried["message"]) for carried in of_test if carried["message"]), "")

    def all(self, key: str) -> list[dict[str, object]]:
        """Everything that the phases carry under this key."""
        return [found for carried in self.phases for found in carried.get(key, ())]  # type: ignore[attr-defined]


def start(
    folder: Path,
    *tests: str,
    boot_log: str = "",
    words: tuple[str, ...] = (),
    options: Mapping[str, str] | None = None,
    env: Mapping[str, str | None] | None = None,
) -> Ran:
    """Run tests in a pytest of its own, on a kernel that says ``boot_log`` while it boots.

    ``options`` is its configuration, which is not known by default.
    """
    if options is not None:
        (folder / "options").write_text(json.dumps(options))
    (folder / "pyproject.toml").write_text((CHECKOUT / "pyproject.toml").read_text())
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_it.py").write_text(TESTS + "\n".join(tests))
    if boot_log:
        (folder / "boot_log").write_text(boot_log)
    argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-o", f"pythonpath={CHECKOUT} {folder}"]
    argv += ["--rootdir", ".", "--accel", "tcg", *words, "."]
    env = {"GITHUB_ACTIONS": None, "GITHUB_STEP_SUMMARY": None, **(env or {})}
    done = proc.run(argv, seconds=180, cwd=folder, env=env, check=False)
    lines = (folder / "reports").read_text().splitlines() if (folder / "reports").exists() else []
    return Ran(done.status, done.stdout + done.stderr, list(map(json.loads, lines)))
