# SPDX-License-Identifier: GPL-2.0-only
"""Virtual environments: one for each Python and set of pins, and none is changed while it is used."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from kfunctest import cache, proc
from kfunctest.errors import InfraError
from kfunctest.setup import __main__ as command
from kfunctest.setup import needs, venv

CHECKOUT = Path(__file__).resolve().parents[1]
LONG_AGO = time.time() - venv.UNUSED_SECONDS - 60
#: What takes the place of venv and pip: a real environment, without packages but for one that is read in two parts.
WATCH = """
import sys
from pathlib import Path
from kfunctest import proc
def watch(what, argv, **_):
    if "venv" in argv:
        proc.run([*argv[:-1], "--without-pip", argv[-1]], seconds=60)
    elif "pip" in argv:
        (packages,) = Path(argv[0]).parents[1].glob("lib/python*/site-packages")
        (packages / "at_its_end.py").write_text("print('read')")
        (packages / "begins.py").write_text("print('begun', flush=True)\\ninput()\\nimport at_its_end\\n")
"""
watch_: dict[str, Callable[..., None]] = {}
exec(WATCH, watch_)


@pytest.fixture(autouse=True)
def _made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KFUNCTEST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(venv, "watch", watch_["watch"])
    monkeypatch.setattr(needs, "missing", lambda **_: ())


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout that holds nothing but pins."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    (folder / "requirements.txt").write_text("pytest==9 --hash=sha256:00\n")
    return folder


@pytest.fixture
def another_python(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Set-ups from then on run under another Python, by what tells Pythons apart."""
    return lambda: monkeypatch.setattr(sys, "base_prefix", "/opt/another")


def started(checkout: Path) -> AbstractContextManager[proc.Process]:
    """A run: a script's process, once it has become what it runs."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom kfunctest.setup import __main__ as command\n"
        "command.CHECKOUT = Path(sys.argv[1])\ncommand._become(['begins'], 3)"
    )
    argv = [sys.executable, "-c", code, str(checkout)]
    return proc.spawn(argv, cwd=CHECKOUT, stdin=proc.PIPE, stdout=proc.PIPE)


def test_a_run_goes_on_reading_its_environment_whatever_is_set_up_meanwhile(
    checkout: Path, another_python: Callable[[], None]
) -> None:
    """Neither another Python's set-up, nor one with other pins, nor the removal of what is unused takes it away."""
    command.set_up(checkout)
    place = venv.folder(checkout)
    with started(checkout) as run:
        assert run.stdout
        assert run.stdout.readline() == b"begun\n"
        os.utime(place / "kfunctest.stamp", (LONG_AGO, LONG_AGO))
        another_python()
        command.set_up(checkout)
        (checkout / "requirements.txt").write_text("pytest==10 --hash=sha256:00\n")
        command.set_up(checkout)
        assert run.communicate(b"go on\n", timeout=60)[0] == b"read\n"
        assert run.returncode == 0
    assert len(list(place.parent.iterdir())) == 3
    (checkout / "requirements.txt").write_text("pytest==11 --hash=sha256:00\n")
    command.set_up(checkout)
    assert not place.exists(), "now nobody uses it"


def test_each_python_has_an_environment_of_its_own(checkout: Path, another_python: Callable[[], None]) -> None:
    command.set_up(checkout)
    first, link = venv.folder(checkout), (checkout / ".venv").readlink()
    another_python()
    assert not venv.is_complete(checkout)
    assert command.set_up(checkout)
    assert venv.folder(checkout) != first == link
    assert (checkout / ".venv").readlink() == first, "a run that was started through the link goes on reading there"
    assert not command.set_up(checkout), "neither makes its own again"


def test_checkouts_with_the_same_pins_share_an_environment(checkout: Path) -> None:
    command.set_up(checkout)
    assert venv.is_complete(checkout.rename(checkout.with_name("elsewhere")))


def changed_pins(checkout: Path) -> None:
    """Another version is pinned."""
    (checkout / "requirements.txt").write_text("pytest==10 --hash=sha256:00\n")


def lost_python(checkout: Path) -> None:
    """The Python that the environment stands on was removed."""
    (venv.folder(checkout) / "bin" / "python").unlink()


def torn_stamp(checkout: Path) -> None:
    """Setup was killed while it wrote its last word."""
    stamp = venv.folder(checkout) / "kfunctest.stamp"
    stamp.write_text(stamp.read_text()[:5])


@pytest.mark.parametrize("change", [changed_pins, lost_python, torn_stamp])
def test_an_environment_that_does_not_fit_is_made_again(change: Callable[[Path], None], checkout: Path) -> None:
    command.set_up(checkout)
    change(checkout)
    assert not venv.is_complete(checkout)
    assert venv.hold(checkout) is None
    assert command.set_up(checkout)
    assert venv.is_complete(checkout)
    assert (checkout / ".venv").resolve() == venv.folder(checkout)


def test_a_set_up_that_is_killed_half_way_leaves_nothing_that_looks_finished(checkout: Path, tmp_path: Path) -> None:
    code = (
        f"{WATCH}\nimport time\nfrom kfunctest.setup import venv\n"
        "def slow(what, argv, **_):\n    watch(what, argv)\n    if 'pip' in argv:\n"
        "        print('half-way', flush=True)\n        time.sleep(60)\n"
        "venv.watch = slow\nvenv.make(Path(sys.argv[1]))"
    )
    with proc.spawn([sys.executable, "-c", code, checkout], cwd=CHECKOUT, stdout=proc.PIPE) as half:
        assert half.stdout
        assert half.stdout.readline() == b"half-way\n"
        half.send_signal(signal.SIGKILL)
        half.wait(30)
    place = venv.folder(checkout)
    assert (place / "bin" / "python").exists()
    assert not venv.is_complete(checkout)
    (place / "rest").touch()
    command.set_up(checkout)
    assert venv.is_complete(checkout)
    assert not (place / "rest").exists(), "it begins anew"


def test_what_a_killed_set_up_left_is_removed_by_the_next_one_that_makes_any(checkout: Path) -> None:
    half, made_now = (cache.root() / "venvs" / name for name in ("half", "made now"))
    for place in (half, made_now):
        place.mkdir(parents=True)
    with cache.locked(venv.lock(made_now)):
        command.set_up(checkout)
    assert (half.exists(), made_now.exists()) == (False, True)


def test_a_folder_that_an_older_setup_filled_is_kept_under_another_name(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in (".venv-old", ".venv-old1"):
        (checkout / ".venv").mkdir()
        (checkout / ".venv" / "used").touch()
        command.set_up(checkout)
        assert (checkout / name / "used").exists(), "a run may still read there"
        assert (checkout / ".venv").resolve() == venv.folder(checkout)
        assert f".venv was a folder, and is {name} now" in capsys.readouterr().err
        (checkout / ".venv").unlink()


def test_a_link_that_leads_nowhere_is_replaced(checkout: Path) -> None:
    (checkout / ".venv").symlink_to("/nowhere")
    command.set_up(checkout)
    assert (checkout / ".venv" / "bin" / "python").exists()


def test_a_checkout_that_cannot_be_written_is_set_up(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    assert command.set_up(checkout)
    assert not command.set_up(checkout)
    assert list(checkout.iterdir()) == [checkout / "requirements.txt"]


def test_a_cache_that_cannot_be_written_is_one_clear_line(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KFUNCTEST_CACHE", str(checkout / "requirements.txt"))
    with pytest.raises(InfraError, match=r"requirements.txt cannot be written; set KFUNCTEST_CACHE"):
        venv.make(checkout)


def test_pytest_by_hand_holds_the_environment_that_it_runs_in(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the link: no other process is asked."""
    command.set_up(checkout)
    place = venv.folder(checkout)
    code = f"""
import sys
sys.prefix = {str(checkout / ".venv")!r}
import pytest
class Waits:
    def pytest_sessionstart(self):
        print("held", flush=True)
        input()
sys.exit(pytest.main(["-q", "-s", "--collect-only", "tests/test_contract.py"], plugins=[Waits()]))
"""
    with proc.spawn([sys.executable, "-c", code], cwd=CHECKOUT, stdin=proc.PIPE, stdout=proc.PIPE) as run:
        assert run.stdout
        assert run.stdout.readline() == b"held\n"
        with cache.locked_at_once(venv.lock(place)) as free:
            assert not free
        assert run.communicate(b"\n", timeout=60)
        assert run.returncode == 0
    with cache.locked_at_once(venv.lock(place)) as free:
        assert free
