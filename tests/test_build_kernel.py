# SPDX-License-Identifier: GPL-2.0-only
"""scripts/build-kernel and what pytest says of what it built, as a user sees them."""

from __future__ import annotations

import re
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from kfunctest import build_kernel, proc
from kfunctest.errors import SpecError
from kfunctest.kernels import source
from kfunctest.setup import __main__ as command
from kfunctest.setup import needs, needs_toolchain
from tests import fakesource
from tests.building import needs as needs_tools
from tests.building import needs_build_tools
from tests.fakesource import commit, edit, git
from tests.pytest_result import Judge

pytestmark = needs_build_tools
CHECKOUT = Path(__file__).resolve().parents[1]
USAGE = 4


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A kernel in a git tree, and one patch for it."""
    tree = fakesource.write(tmp_path / "linux")
    commit(tree, "the base")
    git(tree, "tag", "base")
    edit(tree / "mm" / "memcontrol.c", "return 2", "return 22")
    commit(tree, "mm: larger")
    git(tree, "format-patch", "--quiet", "-o", tmp_path / "series", "base")
    return tree


def built(tmp_path: Path, *words: str | Path) -> proc.Completed:
    """A run of the command, from ``tmp_path``."""
    argv = [sys.executable, "-m", "kfunctest.build_kernel", *words]
    env = {"KFUNCTEST_CACHE": str(tmp_path / "cache"), "KFUNCTEST_CWD": str(tmp_path)}
    return proc.run(argv, seconds=60, cwd=CHECKOUT, env={**env, "CCACHE_DIR": str(tmp_path / "ccache")}, check=False)


def test_the_line_that_it_prints_judges_the_kernel(tree: Path, tmp_path: Path, judge: Judge) -> None:
    done = built(tmp_path, "linux@base", "--patch", "series", "--flavour", "mglru", "--contract", "v7.0")
    assert done.status == 0, done.stderr
    words = shlex.split(done.stdout)
    assert words[:2] == ["scripts/kfunc", "--kernel"]
    # The tests that need no VM, in which this image would not boot.
    ended = judge(*words[1:], tests="selftests/test_presence.py")
    assert ended.status == 0, ended.text
    head = git(tree, "rev-parse", "--short=12", "base")
    assert f"({tree} at {head} (the base))" in ended.text
    assert re.search(r"^patch: [0-9a-f]{12} mm: larger$", ended.text, re.MULTILINE), ended.text
    assert "flavours: mglru" in ended.text
    assert re.search(r"^configuration: [0-9a-f]{20}; compiler: gcc \(Made up\) 12$", ended.text, re.MULTILINE), (
        ended.text
    )
    assert "contract: v7.0 (declared with the kernel)" in ended.text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nonsense"], "there is no source 'nonsense'; write debian:7.2, a git tree"),
        (["~nosuchuser/linux"], "there is no home ~nosuchuser for ~nosuchuser/linux; write the whole path"),
        (["~nosuchuser/linux@v9"], "there is no home ~nosuchuser"),
        (["linux", "--patch", "~nosuchuser/x.patch"], "there is no home ~nosuchuser for ~nosuchuser/x.patch"),
        (["linux@v9"], "has no revision 'v9'"),
        (["linux", "--flavour", "debgu"], "there is no flavour 'debgu'; take one of"),
        (["nonsense", "--flavour", "debgu"], "there is no flavour 'debgu'"),
        (["nonsense", "--patch", "nowhere"], "/nowhere does not exist"),
        (["linux", "--patch", "nowhere"], "/nowhere does not exist"),
        (["linux", "--patch", "series"], 'the patch "mm: larger" (.*) does not apply: hunk 1 of 1 of mm/memcontrol.c'),
        (["linux", "--contract", "v9"], "there is no contract 'v9'"),
        (["debian-newest"], "debian-newest is the package debian, not built from source"),
    ],
    ids=lambda parameter: " ".join(parameter) if isinstance(parameter, list) else "",
)
def test_what_cannot_be_built(tree: Path, tmp_path: Path, words: list[str], said: str) -> None:
    done = built(tmp_path, *words)
    assert done.status == USAGE, done.stderr
    line = done.stderr.splitlines()[-1]
    assert line.startswith("build-kernel: ")
    assert re.search(said.replace("(.*)", r"\(.*\)"), line), line
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--kernel", "7.2-slim"], True),
        (["-k", "usage", "--kernel=6.12-debug"], True),
        (["--kernel", "debian", "--kernel", "7.3-slim"], True),
        (["--kernel", "debian-newest"], False),
        (["--kernel", "/boot/vmlinuz", "7.2-slim"], False),
        (["--kernel"], False),
        ([], False),
    ],
    ids=lambda parameter: " ".join(parameter) if isinstance(parameter, list) else "",
)
def test_setup_brings_a_compiler_only_where_a_kernel_is_built(words: list[str], expected: bool) -> None:
    assert needs_toolchain.is_built(words, CHECKOUT) is expected


def test_setup_reads_what_is_judged_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The run's own arguments are none of setup's, even where they look so, and after a -- too."""
    seen: list[bool] = []
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    runs: list[Sequence[str]] = []
    monkeypatch.setattr(command, "set_up", lambda _checkout, *, build: seen.append(build))
    monkeypatch.setattr(command, "_become", lambda run, _failed: runs.append(run))
    named = ["pytest", "--update", "--help", "--kernel", "7.2-slim", "--", "--build"]
    assert command.main(["--quiet", "--build-if-named", "--run", "pytest", "-k", "x", "--", "selftests/a"]) == 0
    assert command.main(["--quiet", "--build-if-named", "--run", *named]) == 0
    assert command.main(["--quiet", "--run", *named]) == 0
    assert command.main(["--quiet", "--build", "--run", "pytest"]) == 0
    assert seen == [False, True, False, True]
    assert runs == [["pytest", "-k", "x", "--", "selftests/a"], named, named, ["pytest"]]


@pytest.mark.parametrize("words", [[], ["debian:7.2", "--flavor", "debug"]], ids=["no source", "no such option"])
def test_a_wrong_command_line_is_a_request_that_cannot_be_met(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        build_kernel.main(words)
    assert ended.value.code == USAGE
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert re.match("build-kernel: .*(SOURCE|--flavor).*; see scripts/build-kernel --help", lines[0]), lines


def test_the_help_tells_the_statuses(tmp_path: Path) -> None:
    done = built(tmp_path, "--help")
    assert done.status == 0
    assert re.search(r"exit status: 0: .* 3: .* 4: .* 130: ", " ".join(done.stdout.split()))


def test_update_asks_the_archive_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []

    def resolve(text: str, *, update: bool, **_: object) -> None:
        seen.append((text, update))
        raise SpecError("enough")

    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(source, "resolve", resolve)
    for words in (["debian:7.1"], ["debian:7.1", "--update"], ["7.2-slim", "--update"]):
        assert build_kernel.main(words) == USAGE
    assert seen == [("debian:7.1", False), ("debian:7.1", True), ("debian:7.2", True)]


def test_a_check_skips_nothing_for_want_of_a_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    def skipped() -> bool:
        return bool(needs_tools("no-such-tool").mark.args[0])

    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("KFUNCTEST_COMPLETE", raising=False)
    assert skipped()
    assert not needs_tools("sh").mark.args[0]
    monkeypatch.setenv("CI", "true")
    assert not skipped()
    monkeypatch.delenv("CI")
    monkeypatch.setenv("KFUNCTEST_COMPLETE", "1")
    assert not skipped()
    assert "export KFUNCTEST_COMPLETE=1" in (CHECKOUT / "scripts" / "check").read_text()


def test_the_plain_suite_needs_no_build_tools() -> None:
    plain = {need.what for need in needs.NEEDS}
    assert plain.isdisjoint({need.what for need in needs.BUILD_NEEDS})
    assert all(len(need.packages) == len(needs.DISTRIBUTIONS) for need in needs.BUILD_NEEDS)
