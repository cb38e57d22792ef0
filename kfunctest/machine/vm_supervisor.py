# SPDX-License-Identifier: GPL-2.0-only
"""The VM's supervisor: starts virtme-ng, keeps its console, and leaves nothing behind, whoever dies first.

execnet starts this file as if it were a Python interpreter and speaks through its stdin and stdout, which are handed on
to virtme-ng. The supervisor lives in a session of its own, so neither Ctrl-C nor the death of pytest by SIGKILL reaches
it before it has killed the VM's whole process group and removed the run's folder.

Run as ``python vm_supervisor.py RUNDIR``; ``RUNDIR/launch.json`` holds ``argv``, ``env``, ``console`` (a path) and
``parent`` (a process id). It writes ``RUNDIR/supervisor`` (its process id). It ends when the VM does, on SIGTERM, or
when the parent dies, and RUNDIR with it.
"""

from __future__ import annotations

import ctypes
import json
import os
import selectors
import shutil
import signal
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

# Started by path and isolated (-I), so that no environment variable or working directory decides what is imported.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from kfunctest import files, proc

PR_SET_CHILD_SUBREAPER = 36
CHUNK = 1 << 16


def main() -> int:
    rundir = Path(sys.argv[1])
    order = json.loads((rundir / "launch.json").read_text())
    if os.getsid(0) != os.getpid():
        os.setsid()
    for ignored in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(ignored, signal.SIG_IGN)
    # vng, virtme-run, QEMU and virtiofsd are separate processes: orphans among them come to us to be reaped.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake_write)
    signal.signal(signal.SIGTERM, lambda *_: None)
    files.write(rundir / "supervisor", str(os.getpid()))
    try:
        with ExitStack() as stack:
            parent = os.pidfd_open(order["parent"])
            console_read, console_write = os.pipe2(os.O_CLOEXEC)
            console = os.open(order["console"], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            vng = stack.enter_context(
                proc.spawn(
                    # Its own working directory becomes the guest's, by way of the kernel's command line.
                    order["argv"],
                    cwd=Path("/"),
                    env=order["env"],
                    stdin=0,
                    stdout=1,
                    stderr=console_write,
                )
            )
            os.close(console_write)
            _let_go_of_stdio()
            _watch(vng, parent, wake_read, console_read, console)
    finally:
        _reap_orphans()
        shutil.rmtree(rundir, ignore_errors=True)
    return 0


def _watch(vng: proc.Process, parent: int, wake: int, console_read: int, console: int) -> None:
    """Copy the console until the VM has ended or we are told to end it."""
    with selectors.DefaultSelector() as events:
        for source in (parent, wake, console_read, vng_fd := os.pidfd_open(vng.pid)):
            events.register(source, selectors.EVENT_READ)
        while {console_read, vng_fd} & set(events.get_map()):
            ready = {key.fd for key, _ in events.select()}
            if console_read in ready:
                data = os.read(console_read, CHUNK)
                # A full disk must not stop the VM on a full pipe: go on draining.
                with suppress(OSError):
                    os.write(console, data)
                if not data:
                    events.unregister(console_read)
            elif vng_fd in ready:
                # QEMU outlives a killed vng, and either may leave a daemon that holds the channel open for ever.
                proc.kill_group(vng)
                _reap_orphans()
                events.unregister(vng_fd)
            if parent in ready or wake in ready:
                return


def _let_go_of_stdio() -> None:
    """Close our ends of the channel: its end must be seen as soon as QEMU's are gone."""
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)


def _reap_orphans() -> None:
    """Kill what left the process group (a daemon that called setsid) and was handed to us as subreaper."""
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    with suppress(OSError):
        while pids := children.read_text().split():
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            os.wait()


if __name__ == "__main__":
    sys.exit(main())
