# SPDX-License-Identifier: GPL-2.0-only
"""Each of scripts/, whatever its user has set and wherever its output goes: its status is one that it documents."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from kfunctest import cache, proc
from kfunctest.setup import venv

CHECKOUT = Path(__file__).resolve().parents[1]
SCRIPTS = CHECKOUT / "scripts"
HELP = ("--help",)
#: What prints something and judges nothing, and the status where that cannot be done.
COMMANDS: dict[str, tuple[tuple[str, ...], int]] = {
    "bench": (HELP, 3),
    "bisect": (HELP, 131),
    "bisect step": (("step", "--help"), 131),
    "build-kernel": (HELP, 3),
    "check": (HELP, 3),
    "coverage": (HELP, 2),
    "gate": (HELP, 2),
    "kfunc --help": (HELP, 3),
    "kfunc": (("--collect-only", "-q", "-k", "test_usage_equals_memory_current"), 3),
    "mutate": (("--list",), 2),
    "series": (HELP, 131),
}
#: Settings for something else, each of which stopped or changed a run: of Python, pytest, tox and git.
SETTINGS = {
    "PYTHONOPTIMIZE": "2",
    "PYTHONSAFEPATH": "1",
    "PYTHONINSPECT": "1",
    "PYTHONHOME": "/nowhere",
    "PYTHONPATH": "{evil}",
    "PYTHONWARNINGS": "error",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONSTARTUP": "/nowhere",
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    "PYTEST_PLUGINS": "no_such_plugin",
    "PYTEST_ADDOPTS": "--no-such-option",
    "TOXENV": "nothing",
    "TOX_SKIP_ENV": ".*",
    "GIT_DIR": "/nowhere",
    "GIT_INDEX_FILE": "/nowhere",
}
#: What a shell reads from its environment.
SHELLS = {"CDPATH": "/tmp", "ENV": "/nowhere", "BASH_ENV": "/nowhere", "IFS": "/s"}

each = pytest.mark.parametrize("name", COMMANDS)


@pytest.fixture(autouse=True)
def _same_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one on PATH would have another environment made."""
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))


@pytest.fixture
def hostile(tmp_path: Path) -> dict[str, str]:
    """All of the settings at once, with modules that stand in the way of pytest's and Python's own."""
    evil = tmp_path / "evil"
    evil.mkdir()
    for module in ("pytest", "typing", "runpy", "sitecustomize", "usercustomize"):
        (evil / f"{module}.py").write_text("raise SystemExit('not the right module')\n")
    return {**SHELLS, **{name: value.format(evil=evil) for name, value in SETTINGS.items()}}


def argv(name: str) -> list[str | Path]:
    return [SCRIPTS / name.split()[0], *COMMANDS[name][0]]


def run(words: list[str | Path], *, stdout: int | None = proc.DEVNULL, stderr: int | None = proc.DEVNULL) -> int:
    with proc.spawn(words, cwd=Path("/"), stdout=stdout, stderr=stderr) as process:
        return process.wait(120)


def test_every_script_is_driven() -> None:
    assert {name.split()[0] for name in COMMANDS} | {"setup"} == {path.name for path in SCRIPTS.iterdir()}


@each
def test_settings_for_something_else_do_not_count(name: str, hostile: Mapping[str, str]) -> None:
    done = proc.run(argv(name), seconds=120, cwd=Path("/"), env=hostile, check=False)
    assert done.status == 0, done.stderr
    assert done.stdout.strip()


def test_no_program_that_a_script_starts_sees_such_settings(hostile: Mapping[str, str]) -> None:
    more = ("two words", "--build", "--run")
    words: list[str | Path] = [SCRIPTS / "setup", "--quiet", "--run", "tests.seen", *more]
    allowed = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
    done = proc.run(words, seconds=60, cwd=Path("/"), env={**hostile, **allowed})
    seen = json.loads(done.stdout)
    assert not seen["environ"].keys() & (SETTINGS.keys() | {"CDPATH", "ENV", "BASH_ENV"})
    assert seen["environ"].items() >= allowed.items(), "which repositories may be read is the user's to say"
    assert seen["environ"]["PYTHONNOUSERSITE"] == "1"
    assert not seen["user"]
    assert not any(seen["flags"].values())
    assert tuple(seen["argv"]) == more
    assert seen["path"][0] == str(CHECKOUT)
    assert Path(seen["prefix"]) == venv.folder(CHECKOUT), "by its own path, which no other set-up changes"
    assert seen["environ"]["PATH"].startswith(f"{seen['prefix']}/bin:")


@each
def test_output_that_cannot_be_written_is_no_verdict(name: str) -> None:
    """A full disk; a closed descriptor; a reader that has gone; and a full disk for what goes to stderr alone."""
    failed = COMMANDS[name][1]
    with Path("/dev/full").open("w") as full:
        assert run(argv(name), stdout=full.fileno()) == failed
        assert run(argv(name), stderr=full.fileno()) == 0
    assert run(["/bin/sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *argv(name)]) == failed
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert run(argv(name), stdout=writer) == failed
    finally:
        os.close(writer)


@each
def test_a_request_that_makes_no_sense_is_no_verdict(name: str) -> None:
    wrong = {"bisect": 132, "bisect step": 132, "series": 132, "gate": 2, "check": 254}
    script, *more = name.removesuffix(" --help").split()
    words: list[str | Path] = [SCRIPTS / script, *more, "--no-such-option"]
    with Path("/dev/full").open("w") as full:
        assert run(words) == wrong.get(name, 4)
        assert run(words, stderr=full.fileno()) in (wrong.get(name, 4), COMMANDS[name][1])


@each
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_during_the_set_up_is_no_verdict(
    name: str, number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for another set-up, and makes nothing."""
    monkeypatch.setenv("KFUNCTEST_CACHE", str(tmp_path))
    with (
        cache.locked(venv.lock(venv.folder(CHECKOUT))),
        proc.spawn(argv(name), stderr=proc.PIPE) as process,
    ):
        assert process.stderr
        assert b"waiting for another run" in process.stderr.readline()
        process.send_signal(number)
        assert process.wait(30) == (-signal.SIGHUP if number == signal.SIGHUP else 130)


@each
def test_a_set_up_that_fails_is_no_verdict(name: str, tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    env = {"KFUNCTEST_CACHE": str(tmp_path / "cache")}
    done = proc.run(argv(name), seconds=60, env=env, check=False)
    assert done.status == COMMANDS[name][1]
    assert (
        done.stderr
        == f"setup: the cache {tmp_path}/cache cannot be written; set KFUNCTEST_CACHE to a folder of yours\n"
    )


BROKEN = {
    "an exception": ("raise ValueError('a bug')", 7),
    "a syntax error": ("def", 7),
    "a module that is not there": ("import no_such_module", 7),
    "a text": ("raise SystemExit('a text')", 7),
    "a failed assertion": ("assert False", 7),
    "an exception on its way out": ("try:\n    raise SystemExit(1)\nfinally:\n    1 / 0", 7),
    "recursion": ("def f(): f()\nf()", 7),
    "Ctrl-C": ("raise KeyboardInterrupt", 130),
    "its own": ("raise SystemExit(1)", 1),
    "none": ("raise SystemExit", 0),
    "its end": ("", 0),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_bug_is_no_verdict(how: str, tmp_path: Path) -> None:
    source, status = BROKEN[how]
    (tmp_path / "broken.py").write_text(source)
    words = [sys.executable, "-m", "kfunctest.run", "7", "broken"]
    done = proc.run(words, seconds=60, cwd=CHECKOUT, env={"PYTHONPATH": str(tmp_path)}, check=False)
    assert done.status == status, done.stderr
    with Path("/dev/full").open("w") as full:
        env = ["env", f"PYTHONPATH={tmp_path}", "sh", "-c", f'cd "{CHECKOUT}" && exec "$@"', "sh"]
        assert run([*env, *words], stderr=full.fileno()) == status


def test_a_bug_in_the_set_up_is_no_verdict(tmp_path: Path) -> None:
    """A checkout whose own files are broken."""
    (tmp_path / "scripts").mkdir()
    for file in SCRIPTS.iterdir():
        (tmp_path / "scripts" / file.name).symlink_to(file)
    (tmp_path / "kfunctest" / "setup").mkdir(parents=True)
    for name in ("__init__.py", "errors.py", "run.py", "setup/__init__.py", "setup/start.py"):
        (tmp_path / "kfunctest" / name).write_bytes((CHECKOUT / "kfunctest" / name).read_bytes())
    for name, (words, status) in COMMANDS.items():
        script = tmp_path / "scripts" / name.split()[0]
        assert run([script, *words]) == status, "there is no kfunctest.setup.__main__"


def test_a_script_leaves_a_checkout_that_cannot_be_written_as_it_is(tmp_path: Path) -> None:
    """Nothing is needed there: neither .venv nor what Python compiles."""
    enter = [proc.need("unshare"), "--mount", "--map-root-user", "sh", "-c"]
    mount = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && cd / && exec "$@"'
    if proc.run([*enter, mount, CHECKOUT, "true"], seconds=20, check=False).status:
        pytest.skip("not applicable: this machine lets us mount nothing")
    assert run([*enter, mount, CHECKOUT, *argv("kfunc")]) == 0


def test_what_a_set_up_and_python_leave_in_a_checkout_is_ignored() -> None:
    """A link, unlike a folder, is not meant by a pattern with a slash at its end."""
    left = [".venv", ".venv-old", ".venv-77", "kfunctest/__pycache__/run.cpython-311.pyc", "results/latest"]
    done = proc.run([proc.need("git"), "check-ignore", "--no-index", *left], seconds=20, cwd=CHECKOUT, check=False)
    assert done.stdout.split() == left
