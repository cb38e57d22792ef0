# SPDX-License-Identifier: GPL-2.0-only
"""Files appear whole or not at all, whatever happens to the writer; links always lead somewhere."""

from __future__ import annotations

import errno
import os
import resource
import signal
import stat
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from kfunctest import files, proc
from kfunctest.bench.kfunc import command as kfunc
from kfunctest.bisect import series
from kfunctest.coverage import __main__ as coverage
from kfunctest.coverage import lines, reasons, report
from kfunctest.coverage.lines import WHOLE, Line
from kfunctest.errors import InfraError
from kfunctest.gate import command as gate
from kfunctest.gate.baseline import Baseline
from kfunctest.gate.matrix import Matrix
from kfunctest.kernels import spec
from kfunctest.mutate import __main__ as mutate
from kfunctest.mutate import catalogue
from kfunctest.reports.write import everything
from kfunctest.trial import digest
from tests import reportruns
from tests.benching import noisy
from tests.gating import row
from tests.mutants import mutant

CHECKOUT = Path(__file__).resolve().parents[1]
#: More than any buffer holds back.
LARGE = 1 << 18


@contextmanager
def full(limit: int) -> Iterator[None]:
    """A disk that takes ``limit`` bytes of each file: write() fails there, after a short one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("content", ["text", b"bytes\x00\xff", "", "caf\N{LATIN SMALL LETTER E WITH ACUTE}"])
def test_what_was_written_is_read(tmp_path: Path, content: str | bytes) -> None:
    file = tmp_path / "file"
    files.write(file, "old")
    files.write(file, content)
    assert file.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert list(tmp_path.iterdir()) == [file]


def test_what_utf_8_cannot_hold_is_escaped(tmp_path: Path) -> None:
    files.write(tmp_path / "file", "\udc80")
    assert (tmp_path / "file").read_text() == "\\udc80"


@pytest.mark.parametrize("size", [4097, LARGE])
def test_a_disk_that_fills_up_leaves_the_old_content_and_nothing_else(tmp_path: Path, size: int) -> None:
    file = tmp_path / "file"
    files.write(file, "old")
    with full(4096), pytest.raises(OSError, match="File too large") as raised:
        files.write(file, "x" * size)
    assert raised.value.errno == errno.EFBIG
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("place", ["nowhere/file", "file/below"])
def test_an_error_has_an_errno_that_can_be_reported(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"No such file|Not a directory") as raised:
        files.write(tmp_path / place, "new")
    assert raised.value.strerror


def test_a_killed_writer_leaves_the_old_content_and_does_not_disturb_the_next(tmp_path: Path) -> None:
    file = tmp_path / "file"
    files.write(file, "old")
    code = (
        "import os, pathlib, signal, sys; from kfunctest import files\n"
        "os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "files.write(pathlib.Path(sys.argv[1]), 'half')"
    )
    done = proc.run([sys.executable, "-c", code, file], seconds=60, cwd=CHECKOUT, check=False)
    assert done.status == -signal.SIGKILL, done.stderr
    assert file.read_text() == "old"
    assert list(tmp_path.glob("[!.]*")) == [file], "what is left is hidden"
    files.write(file, "new")
    assert file.read_text() == "new"


def test_two_writers_of_one_file_do_not_disturb_each_other(tmp_path: Path) -> None:
    file = tmp_path / "file"
    files.write(file, "a" * LARGE)

    def write(letter: str) -> None:
        for _ in range(20):
            files.write(file, letter * LARGE)

    with ThreadPoolExecutor() as pool:
        writers = [pool.submit(write, letter) for letter in "ab"]
        while not all(writer.done() for writer in writers):
            seen = file.read_text()
            assert (len(seen), len(set(seen))) == (LARGE, 1)
        for writer in writers:
            writer.result()
    assert list(tmp_path.iterdir()) == [file]


def test_a_new_file_has_its_permissions_from_the_umask_and_an_old_one_keeps_them(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        files.write(tmp_path / "new", "")
        (tmp_path / "old").touch(0o600)
        files.write(tmp_path / "old", "")
    finally:
        os.umask(before)
    modes = {name: stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("new", "old")}
    assert modes == {"new": 0o640, "old": 0o600}


def test_a_link_leads_to_what_it_was_pointed_at_last(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        files.point(tmp_path / "latest", name)
        assert (tmp_path / "latest").readlink() == Path(name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "latest", "second"]


def test_a_folder_in_the_place_of_a_link_stays(tmp_path: Path) -> None:
    (tmp_path / "latest").mkdir()
    with pytest.raises(IsADirectoryError):
        files.point(tmp_path / "latest", "first")
    assert [path.name for path in tmp_path.iterdir()] == ["latest"]


def _series(folder: Path, _: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    rows = [series.Row(number, "subject", "id", series.Standing.GOOD, "why " * 50) for number in range(3)]
    series.write(folder, rows, 0)


def _gate(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digest, "of_suite", str)
    matrix = Matrix("2026-01-01", "scripts/gate", (row("a", usage="passed"), row("b", usage="failed")), True)
    asked = gate.Asked((), True, (), (), 0, 60.0, None, folder)
    gate.run(asked, Baseline(), [matrix])


def _mutate(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    equivalent = mutant(folder.parent, equivalent="for a reason")
    monkeypatch.setattr(digest, "of_suite", str)
    monkeypatch.setattr(catalogue, "load", lambda: {equivalent.id: equivalent})
    if mutate.main(["--results", str(folder)]):
        raise OSError


def _coverage(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    kernel = SimpleNamespace(image=folder.parent / "vmlinuz")
    monkeypatch.setattr(spec, "resolve", lambda *_, **__: kernel)
    monkeypatch.setattr(report, "gather", lambda *_: [Line(WHOLE, 189, "bpf_mem_cgroup_usage", "return 0;", 1, ())])
    monkeypatch.setattr(lines, "absent", lambda _: [])
    monkeypatch.setattr(reasons, "read", list)
    if coverage.main(["--from", str(folder)]):
        raise OSError


def _kfunc(folder: Path, _: pytest.MonkeyPatch) -> None:
    kfunc.finish(noisy(0.1, 1), folder, None, None, lambda _: None)


def _reports(folder: Path, _: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    everything(reportruns.RUN, folder)


def written(folder: Path) -> dict[str, bytes]:
    """All but logs, which are appended to."""
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.suffix != ".jsonl"}


@pytest.mark.parametrize("command", [_series, _gate, _mutate, _coverage, _kfunc, _reports])
def test_a_report_on_a_disk_that_fills_up_is_whole_or_absent(
    command: Callable[[Path, pytest.MonkeyPatch], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The disk takes no byte of the smallest file, then one byte too few for each."""
    command(tmp_path / "good", monkeypatch)
    whole = written(tmp_path / "good")
    assert whole
    for limit in (0, *(len(content) - 1 for content in whole.values())):
        place = tmp_path / str(limit)
        with full(limit), pytest.raises((OSError, InfraError)):
            command(place, monkeypatch)
        torn = {name: len(content) for name, content in written(place).items() if content != whole[name]}
        assert torn == {}
