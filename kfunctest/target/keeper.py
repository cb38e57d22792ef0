# SPDX-License-Identifier: GPL-2.0-only
"""Our side of the VM's keeper (``launch.py``): start it, watch over the boot, and be sure that it is gone."""

from __future__ import annotations

import json
import os
import shlex
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

from kfunctest.errors import InfraError
from kfunctest.target.channel import ChannelEnded, Pipes
from kfunctest.wait import wait_until

_PROGRAM = Path(__file__).with_name("launch.py")
#: Seconds that the keeper needs to kill a VM and sweep up: signals and unlinks, no guest work.
END_SECONDS = 20.0


@contextmanager
def rundir(argv: list[str], console: Path) -> Iterator[Path]:
    """A temporary folder for one VM, with the order for the keeper in it. Raises InfraError when it cannot be made.

    ``argv`` starts the VM, ``console`` is the file for what it prints.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix="kfunctest-"))
    except OSError as error:
        raise _unwritable(error) from error
    try:
        try:
            (folder / "launch.json").write_text(json.dumps(_order(folder, argv, console)))
        except OSError as error:
            raise _unwritable(error) from error
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _order(folder: Path, argv: list[str], console: Path) -> dict[str, object]:
    path = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath), "/sbin", "/usr/sbin"]
    # A home and a temporary folder of its own: no setting of the user's virtme-ng gets in, no file of it stays.
    env = {"HOME": str(folder), "TMPDIR": str(folder), "PATH": os.pathsep.join(path)}
    return {"argv": argv, "env": env, "console": str(console), "parent": os.getpid()}


def _unwritable(error: OSError) -> InfraError:
    return InfraError(
        f"the temporary folder {tempfile.gettempdir()} cannot be written ({error.strerror})",
        remedy="free some space there, or set TMPDIR to another folder",
    )


class Watch:
    """Ends the keeper of a VM that has not booted in time: execnet waits for its first byte for ever."""

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
    """The execnet gateway through the keeper; the keeper and all that it keeps are gone on leaving.

    Raises ChannelEnded when the VM ends, or is ended, before anything in it answers as it must.
    """
    group = execnet.Group()
    try:
        yield _connected(group, folder)
    finally:
        if _end(folder):
            wait_until(lambda: not folder.exists(), seconds=END_SECONDS, what=f"the VM's keeper to remove {folder}")
        group.terminate(timeout=END_SECONDS)


def _connected(group: execnet.Group, folder: Path) -> execnet.Gateway:
    """What Group.makegateway does, which loses sight of the process when its first byte is not what it should be."""
    launch = shlex.join([sys.executable, "-I", str(_PROGRAM), str(folder)])
    spec = execnet.XSpec(f"popen//python={launch}//id=agent//execmodel={group.remote_execmodel.backend}")
    io = Pipes(gateway_io.popen_args(spec), group.execmodel)
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
    """Ask the keeper to kill the VM and to sweep up. False: there is none, it never started or was killed."""
    try:
        os.kill(int((folder / "keeper").read_text()), signal.SIGTERM)
    except OSError:
        return False
    return True
