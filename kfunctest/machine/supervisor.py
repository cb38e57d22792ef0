# SPDX-License-Identifier: GPL-2.0-only
"""Our side of a VM's supervisor (``vm_supervisor.py``): start it, watch the boot, and be sure that it is gone."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import execnet
from execnet import gateway_bootstrap, gateway_io

from kfunctest import cache
from kfunctest.errors import InfraError
from kfunctest.machine import vng_paths
from kfunctest.machine.channel import ChannelEnded, Pipes
from kfunctest.wait import wait_until

_PROGRAM = Path(__file__).with_name("vm_supervisor.py")
#: The file of a run directory that the guest runs.
AGENT = "agent"
#: Seconds that the supervisor needs to kill a VM and sweep up: signals and unlinks, no guest work.
END_SECONDS = 20.0


#: What a VM may know of our environment. All else could change what is booted (PYTHON*, KBUILD_OUTPUT) or how.
_KEPT = re.compile(r"LANG|LC_\w+|USER|LOGNAME|LD_LIBRARY_PATH|XDG_RUNTIME_DIR")


@contextmanager
def rundir() -> Iterator[Path]:
    """A temporary directory for one VM, whose path virtme-ng, QEMU and the guest can take; removed on leaving.

    Raises InfraError when it cannot be made.
    """
    folder = _made()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _made() -> Path:
    places = vng_paths.temporary_directories()
    for place in places:
        try:
            if place.is_relative_to(cache.root()):
                place.mkdir(parents=True, exist_ok=True)
            return Path(tempfile.mkdtemp(prefix="kfunctest-", dir=place))
        except OSError as error:
            if place == places[-1]:
                raise _unwritable(place, error) from error
    raise AssertionError("there is always a place")


def give(folder: Path, argv: list[str], console: Path, agent: str) -> None:
    """Write the supervisor's order, and what its VM runs, into the run directory. Raises InfraError.

    ``argv`` starts the VM, ``console`` is the file for what it prints, ``agent`` is a shell script.
    """
    try:
        (folder / AGENT).write_text(agent)
        # Found before any other, so that no setting of the machine's or the user's changes what is booted.
        settings = folder / ".config" / "virtme-ng" / "virtme-ng.conf"
        settings.parent.mkdir(parents=True)
        settings.write_text("{}")
        (folder / "launch.json").write_text(json.dumps(_order(folder, argv, console)))
    except OSError as error:
        raise _unwritable(folder.parent, error) from error


def _order(folder: Path, argv: list[str], console: Path) -> dict[str, object]:
    path = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath), "/sbin", "/usr/sbin"]
    dropped: dict[str, str | None] = {name: None for name in os.environ if not _KEPT.fullmatch(name)}
    # A home and a temporary directory of its own: no file of the user's virtme-ng gets in, none of it stays.
    env = {**dropped, "HOME": str(folder), "TMPDIR": str(folder), "PATH": os.pathsep.join(path)}
    return {"argv": argv, "env": env, "console": str(console), "parent": os.getpid()}


def _unwritable(place: Path, error: OSError) -> InfraError:
    return InfraError(
        f"the temporary folder {place} cannot be written ({error.strerror})",
        remedy="free some space there, or set TMPDIR to another folder",
    )


class Watch:
    """Ends the supervisor of a VM that has not booted in time: execnet waits for its first byte for ever."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self._folder = folder
        self._deadline = time.monotonic() + seconds
        self._booted = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        #: Whether the deadline passed.
        self.late = False
        self._thread.start()

    def end(self) -> None:
        """The VM has booted, or nobody waits for it any more."""
        self._booted.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._booted.wait(0.05):
            self.late = time.monotonic() > self._deadline
            if self.late and _end(self._folder):
                return


@contextmanager
def gateway(folder: Path) -> Iterator[execnet.Gateway]:
    """The execnet gateway through the supervisor; the supervisor and all that it keeps are gone on leaving.

    Raises ChannelEnded when the VM ends, or is ended, before anything in it answers as it must.
    """
    group = execnet.Group()
    try:
        yield _connected(group, folder)
    finally:
        if _end(folder):
            wait_until(lambda: not folder.exists(), seconds=END_SECONDS, what=f"the VM's supervisor to remove {folder}")
        group.terminate(timeout=END_SECONDS)


def _connected(group: execnet.Group, folder: Path) -> execnet.Gateway:
    """What Group.makegateway does, which loses sight of the process when its first byte is not what it should be."""
    spec = execnet.XSpec(f"popen//id=agent//execmodel={group.remote_execmodel.backend}")
    python, *words = gateway_io.popen_args(spec)
    io = Pipes([python, "-I", str(_PROGRAM), str(folder), *words], group.execmodel)
    try:
        made = gateway_bootstrap.bootstrap(io, spec)
    except BaseException as error:
        _end(folder)
        io.close_write()
        io.close_read()
        io.wait()
        if isinstance(error, AssertionError | OSError):
            raise ChannelEnded("the VM does not speak as an agent does") from error
        raise
    made.spec = spec
    group._register(made)  # noqa: SLF001
    return made


def _end(folder: Path) -> bool:
    """Ask the supervisor to kill the VM and to sweep up. False: there is none, it never started or was killed."""
    try:
        os.kill(int((folder / "supervisor").read_text()), signal.SIGTERM)
    except OSError:
        return False
    return True
