# SPDX-License-Identifier: GPL-2.0-only
"""A machine that goes on living: how its agent is started, why one is not, and that nothing of it stays."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kfunctest import proc
from kfunctest.errors import InfraError, KfunctestError, SpecError
from kfunctest.guest import remote_agent as sweeper
from kfunctest.machine import live_machine, local, ssh
from kfunctest.machine.console import Console
from kfunctest.machine.live_machine import Place
from kfunctest.wait import wait_until
from tests.pytest_result import Judge

CHECKOUT = Path(__file__).resolve().parents[1]
USAGE = 4
#: Plays ssh: takes its options, and runs the command, which is the last word, by a shell here.
SSH = '#!/bin/sh\nfor command; do :; done\n{before}\nexec sh -c "$command"\n'


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Place]:
    """A machine behind an ssh that is played; ``before`` is what it does first, ``path`` the PATH over there."""

    def place(before: str = "", path: str | None = None) -> Place:
        tool = tmp_path / "bin" / "ssh"
        tool.parent.mkdir()
        tool.write_text(SSH.format(before=f"PATH={path}\n{before}" if path else before))
        tool.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
        return ssh.place("somebody@somewhere")

    return place


@contextmanager
def agent(place: Place, folder: Path, said: list[KfunctestError] | None = None) -> Iterator[Any]:
    """The gateway to an agent there."""
    tell = (said if said is not None else []).append
    with live_machine._gateway(place, "kfunctest-test-", Console(folder / "stderr"), tell) as gateway:
        yield gateway


def ask(gateway: Any, source: str) -> Any:
    return gateway.remote_exec(source).receive(30)


def alive(pid: int) -> bool:
    """Whether there is such a process, and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("how", ["local", "ssh"])
def test_the_agent_runs_there_from_memory_and_ends_with_us(
    how: str, there: Callable[..., Place], tmp_path: Path
) -> None:
    place = local.place() if how == "local" else there()
    with agent(place, tmp_path) as gateway:
        pid = ask(gateway, "from kfunctest.guest import agent\nchannel.send(agent.ping())")
        origin = ask(gateway, "from kfunctest.guest import libbpf\nchannel.send(libbpf.__spec__.origin)")
        leader = ask(gateway, "import os\nchannel.send(os.getppid())")
        assert alive(pid)
        assert pid != os.getpid()
    assert origin == "kfunctest/guest/libbpf.py"
    assert not alive(pid)
    assert not alive(leader)


def test_a_killed_agent_takes_its_children_along(tmp_path: Path) -> None:
    """The sweeper sees to that; so does it when we are gone, since the agent ends with its channel."""
    with agent(local.place(), tmp_path) as gateway:
        child = ask(gateway, "import os, time\npid = os.fork()\npid or time.sleep(600)\nchannel.send(pid)")
        pid = ask(gateway, "import os\nchannel.send(os.getpid())")
        assert alive(child)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not alive(child), seconds=10, what="the sweeper to kill the agent's child")


@pytest.mark.parametrize("killed", [False, True])
def test_what_the_kernel_does_by_itself_sleeps_there_and_is_as_before_in_the_end(
    killed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for what guards its owner's files; two files stand for the settings."""
    merging, writeback = (tmp_path / name for name in ("merging", "writeback"))
    merging.write_text("1")
    writeback.write_text("500")
    program = live_machine.program("kfunctest-test-").decode()
    program = program.replace("/sys/kernel/mm/ksm/run", str(merging))
    program = program.replace("/proc/sys/vm/dirty_writeback_centisecs", str(writeback))
    monkeypatch.setattr(live_machine, "program", lambda _prefix: program.encode())
    with agent(local.place(), tmp_path) as gateway:
        assert [path.read_text() for path in (merging, writeback)] == ["0", "500"]
        if killed:
            os.kill(ask(gateway, "import os\nchannel.send(os.getpid())"), signal.SIGKILL)
    wait_until(merging.read_text, until=lambda seen: seen == "1", seconds=10, what="what was there before")


def test_what_is_left_behind_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweeper that finds something it cannot remove; /proc/self stands for that."""
    said: list[KfunctestError] = []
    real = live_machine.program("x").decode()
    stuck = real.replace('FILES = "/run"', 'FILES = "/proc"').replace("'x')", "'self')")
    monkeypatch.setattr(live_machine, "program", lambda _prefix: stuck.encode())
    with agent(local.place(), tmp_path, said):
        pass
    assert [error.problem for error in said] == ["on this machine something was left behind"]
    assert "kfunctest left behind: /proc/self" in said[0].evidence


@pytest.mark.parametrize(
    ("before", "problem", "remedy"),
    [
        ("echo 'root@x: Permission denied (publickey).' >&2; exit 255", "ssh failed: root@x: Permission", "put a key"),
        ("echo 'ssh: connect to host x port 22: No route to host' >&2; exit 255", "No route to host", "with ssh"),
        ("exit 255", "ssh failed: it says nothing", "with ssh"),
        ("exit 7", "no agent on somebody@somewhere (status 7)", ""),
    ],
    ids=["key", "route", "silent", "other"],
)
def test_why_ssh_came_to_nothing(
    there: Callable[..., Place], tmp_path: Path, before: str, problem: str, remedy: str
) -> None:
    with pytest.raises(InfraError) as caught, agent(there(before), tmp_path):
        pass
    assert problem in caught.value.problem
    assert remedy in caught.value.remedy
    assert "\n" not in str(caught.value)


def test_a_machine_whose_python_is_too_old(there: Callable[..., Place], tmp_path: Path) -> None:
    """One that would answer is passed by: it says that it is 3.9."""
    old = tmp_path / "old" / "python3"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    place = there(path=f"{old.parent}:{tmp_path}")
    (old.parent / "sh").symlink_to("/bin/sh")
    problem = r"somebody@somewhere has no Python 3\.11 or newer; install python3 there"
    with pytest.raises(InfraError, match=problem), agent(place, tmp_path):
        pass


def test_the_python_that_is_new_enough_is_found(there: Callable[..., Place], tmp_path: Path) -> None:
    """Beside a python3 that is not."""
    folder = tmp_path / "path"
    folder.mkdir()
    (folder / "python3").write_text("#!/bin/sh\nexit 1\n")
    (folder / "python3").chmod(0o755)
    (folder / "python3.12").symlink_to(sys.executable)
    for tool in ("sh", "id"):
        (folder / tool).symlink_to(f"/usr/bin/{tool}")
    with agent(there(path=str(folder)), tmp_path) as gateway:
        assert ask(gateway, "channel.send(__import__('os').getpid())") > 0


def test_who_is_not_root_needs_a_sudo_that_asks_nothing(there: Callable[..., Place], tmp_path: Path) -> None:
    folder = tmp_path / "path"
    folder.mkdir()
    for name, script in {"id": "echo 1000", "sudo": "echo 'sudo: a password is required' >&2; exit 1"}.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    place = there(path=f"{folder}:{os.environ['PATH']}")
    problem = "we are not root, and sudo asks for a password; log in as root, or allow"
    with pytest.raises(InfraError, match=problem), agent(place, tmp_path):
        pass


def test_an_agent_that_never_speaks_is_given_up(
    there: Callable[..., Place], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_machine, "CONNECT_SECONDS", 1.0)
    with (
        pytest.raises(InfraError, match="somebody@somewhere gave no agent within 1 s"),
        agent(there("exec sleep 987"), tmp_path),
    ):
        pass


@pytest.mark.parametrize("words", ["", "-p 2222 -v", "'open"])
def test_a_target_that_names_no_machine(words: str) -> None:
    with pytest.raises(SpecError, match="write --target ssh:HOST"):
        ssh.place(words)


def test_ssh_is_given_what_the_user_writes() -> None:
    place = ssh.place("-p 2222 -F 'my config' root@host")
    assert place.name == "root@host"
    assert place.argv[-5:] == ("-p", "2222", "-F", "my config", "root@host")


def test_cgroups_are_removed_with_those_below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what is not removed is told. A folder with a file in it stands for a cgroup that cannot go."""
    monkeypatch.setattr(sweeper, "ROOT", str(tmp_path / "cgroup"))
    monkeypatch.setattr(sweeper, "FILES", str(tmp_path / "run"))
    monkeypatch.setattr(sweeper, "LEAVE_SECONDS", 0.1)
    (tmp_path / "cgroup/kfunctest-1-test/child/grandchild").mkdir(parents=True)
    (tmp_path / "cgroup/kfunctest-2-other").mkdir()
    (tmp_path / "run/kfunctest-1-files/deep").mkdir(parents=True)
    assert sweeper.sweep("kfunctest-1-") == []
    assert sorted(path.name for path in tmp_path.glob("*/*")) == ["kfunctest-2-other"]
    (tmp_path / "cgroup/kfunctest-2-other/stays").touch()
    assert sweeper.sweep("kfunctest-2-") == [str(tmp_path / "cgroup/kfunctest-2-other")]


PROJECT = """
import pytest
from kfunctest.plugin.targets import spare
pytestmark = pytest.mark.kfunc
def test_plain(): pass
@pytest.mark.destructive("writes a sysctl")
def test_marked(): pass
@pytest.mark.expect_splat("warn")
def test_warns(): pass
def test_finds_out(request): spare(request.node, "a warning")
@pytest.mark.boot(append=("cgroup_disable=memory",))
def test_boots(): pass
@pytest.mark.boot(without=("panic=-1",))
def test_boots_without(): pass
"""
MACHINE = """
import pytest
from pathlib import Path
from kfunctest.kernels.model import Facts, Kernel
from kfunctest.plugin import SESSION, targets
pytest_plugins = ["kfunctest.plugin.hooks"]
facts = Facts((), frozenset(), frozenset(), memcg=True, btf_size=0)
KERNEL = Kernel("running", "7.9.1", Path("/dev/null"), "", None, "a test's", None, None, facts)
@pytest.hookimpl(trylast=True)
def pytest_configure(config):
    targets.living(config).cmdline = ("quiet", "panic=-1")
    config.stash[SESSION]._kernels = [KERNEL]
"""


@pytest.mark.parametrize(
    ("words", "reasons"),
    [
        ((), {"writes a sysctl", "warn", "a warning", "boot"}),
        (
            ("--allow-destructive",),
            {"this machine was booted without cgroup_disable=memory", "this machine was booted with panic=-1"},
        ),
    ],
    ids=["spared", "allowed"],
)
def test_a_living_machine_is_spared(tmp_path: Path, words: tuple[str, ...], reasons: set[str]) -> None:
    """With its owner's leave all is run that such a machine can; never what needs another boot."""
    (tmp_path / "pyproject.toml").write_text((CHECKOUT / "pyproject.toml").read_text())
    (tmp_path / "conftest.py").write_text(MACHINE)
    (tmp_path / "test_all.py").write_text(PROJECT)
    argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", "."]
    argv += ["-p", "no:kfunctest-splats", "-p", "no:kfunctest-record"]  # there is no kernel here
    argv += ["-o", f"pythonpath={CHECKOUT}", "--target", "local", "--tb=no", *words, "."]
    done = proc.run(argv, seconds=60, cwd=tmp_path, check=False)
    skipped = [line.partition("not applicable: ")[2] for line in done.stdout.splitlines() if "SKIPPED" in line]
    for reason in reasons:
        expected = reason if words else f"could crash or dirty this machine ({reason}): --allow-destructive runs it"
        assert expected in skipped, done.stdout + done.stderr
    assert f"{4 if words else 1} passed" in done.stdout
    assert "failed" not in done.stdout
    assert "error" not in done.stdout


def test_a_living_machine_boots_no_kernel(judge: Judge) -> None:
    ended = judge("--target", "local", "--kernel", "debian:7.2")
    assert ended.status == USAGE, ended.text
    assert ended.line.endswith(
        "--target local judges the kernel that runs there, and boots no debian:7.2; "
        "leave out --kernel debian:7.2, or --target"
    )


@pytest.mark.parametrize("words", [("--target", "ssh:"), ("--target", "moon")])
def test_a_target_that_is_none(judge: Judge, words: tuple[str, ...]) -> None:
    ended = judge(*words)
    assert ended.status == USAGE, ended.text
    assert "ssh:HOST" in ended.text
    assert "Traceback" not in ended.text
