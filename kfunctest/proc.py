# SPDX-License-Identifier: GPL-2.0-only
"""The one door to other programs: argv lists, a deadline, a process group of their own.

Nothing else in this project imports ``subprocess``.
"""

from __future__ import annotations

import atexit
import os
import re
import shlex
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from kfunctest.errors import InfraError, NoSpace

#: What a file descriptor argument may be: inherited, a pipe, /dev/null, or an open descriptor.
PIPE = subprocess.PIPE
DEVNULL = subprocess.DEVNULL
STDOUT = subprocess.STDOUT

Process = subprocess.Popen[bytes]

#: Variables by which users give options to tar, xz, compilers and shells: with them another source would be unpacked,
#: or another header compiled, than the one that is named.
_HIDDEN_OPTIONS = re.compile(
    r"BASH_ENV|ENV|CCC_OVERRIDE_OPTIONS|COMPILER_PATH|CPATH|C_INCLUDE_PATH|GCC_EXEC_PREFIX|LIBRARY_PATH|GREP_OPTIONS|GZIP"
    r"|POSIXLY_CORRECT|TAR_OPTIONS|XZ_DEFAULTS|XZ_OPT"
)


@dataclass(frozen=True, slots=True)
class Completed:
    """What a finished program left: its argv, exit status (negative: the signal) and both outputs."""

    argv: tuple[str, ...]
    status: int
    stdout: str
    stderr: str


class CommandError(InfraError):
    """A program failed or outlived its deadline. The message ends in a command line that can be pasted."""

    def __init__(self, completed: Completed, why: str) -> None:
        self.completed = completed
        last = (completed.stderr.strip() or completed.stdout.strip() or "(no output)").splitlines()[-1]
        super().__init__(f"{completed.argv[0]} {why}: {last}", remedy=f"to see it again: {shlex.join(completed.argv)}")


class OutOfSpace(CommandError, NoSpace):
    """A program failed for want of space on a disk."""


def out_of_space(said: str) -> bool:
    """Whether a program that failed says, in English, that a disk is full (strerror(3): ENOSPC, EDQUOT)."""
    return re.search(r"No space left on device|Disk quota exceeded", said) is not None


def find(tool: str) -> Path | None:
    """Where ``tool`` is, also in the sbin folders that an ordinary user's PATH lacks."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])
    found = shutil.which(tool, path=path)
    return Path(found) if found else None


def need(tool: str) -> str:
    """The path of ``tool``. Raises InfraError that names the remedy when the machine lacks it."""
    found = find(tool)
    if found is None:
        raise InfraError(f"{tool} is not installed", remedy="scripts/setup installs it or names its package")
    return str(found)


def run(
    argv: Sequence[str | Path],
    *,
    seconds: float,
    cwd: Path | None = None,
    env: Mapping[str, str | None] | None = None,
    stdin: str | bytes | None = None,
    check: bool = True,
) -> Completed:
    """Run a program to its end and return both its outputs as text.

    ``seconds`` is the deadline, after which the whole process group is killed. ``env`` is added to ours;
    None as a value takes a variable away.
    Raises CommandError on a deadline, or on a status other than 0 unless ``check`` is false (OutOfSpace where a full
    disk is the reason given); InfraError when there is no such program.
    """
    status, out, err = _communicate(argv, seconds, cwd, env, stdin.encode() if isinstance(stdin, str) else stdin)
    done = _completed(argv, status, out, err)
    if check and done.status:
        raise _failed(done)
    return done


def run_binary(argv: Sequence[str | Path], *, seconds: float) -> bytes:
    """Run a program to its end and return its output as bytes. Raises what :func:`run` raises."""
    status, out, err = _communicate(argv, seconds, None, None, None)
    if status:
        raise _failed(_completed(argv, status, b"", err))
    return out


def _failed(done: Completed) -> CommandError:
    error = OutOfSpace if out_of_space(done.stderr) else CommandError
    return error(done, f"ended with status {done.status}")


def _communicate(
    argv: Sequence[str | Path],
    seconds: float,
    cwd: Path | None,
    env: Mapping[str, str | None] | None,
    stdin: bytes | None,
) -> tuple[int, bytes, bytes]:
    source = DEVNULL if stdin is None else PIPE
    with spawn(argv, cwd=cwd, env=env, stdin=source, stdout=PIPE, stderr=PIPE, guarded=True) as process:
        try:
            out, err = process.communicate(stdin, timeout=seconds)
        except subprocess.TimeoutExpired as expired:
            kill_group(process)
            done = _completed(argv, -signal.SIGKILL, expired.stdout or b"", expired.stderr or b"")
            raise CommandError(done, f"did not end within {seconds:g} s") from None
        return process.returncode, out, err


@contextmanager
def spawn(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str | None] | None = None,
    stdin: int | None = DEVNULL,
    stdout: int | None = DEVNULL,
    stderr: int | None = DEVNULL,
    foreground: bool = False,
    guarded: bool = False,
) -> Iterator[Process]:
    """Start a program in a session of its own; on leaving, nothing of its process group is left.

    ``guarded``: nor when we are killed. A VM has a supervisor of its own for that.

    ``foreground`` is for one that asks its user, as sudo does: it stays in our session, the terminal's, and on leaving
    it is only awaited, since its user can interrupt it as well as us.
    """
    guarded = guarded and not foreground
    if guarded:
        _GUARD.begin()
    process = _started(argv, cwd, env, (stdin, stdout, stderr), foreground)
    with _GUARD.over(process.pid) if guarded else nullcontext():
        try:
            yield process
        finally:
            if foreground:
                process.wait()
            else:
                kill_group(process)
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream:
                    with suppress(BrokenPipeError):
                        stream.close()


def _started(
    argv: Sequence[str | Path],
    cwd: Path | None,
    env: Mapping[str, str | None] | None,
    files: tuple[int | None, int | None, int | None],
    foreground: bool,
) -> Process:
    try:
        return subprocess.Popen(
            [str(word) for word in argv],
            cwd=cwd,
            env=_environment(env or {}),
            stdin=files[0],
            stdout=files[1],
            stderr=files[2],
            start_new_session=not foreground,
        )
    except FileNotFoundError as missing:
        raise InfraError(
            f"{missing.filename} is not installed", remedy="scripts/setup installs it or names its package"
        ) from None


def _environment(changes: Mapping[str, str | None]) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not _HIDDEN_OPTIONS.fullmatch(name)}
    return {name: value for name, value in {**ours, **changes}.items() if value is not None}


class _Guard:
    """A process that kills the groups that we started when we die: however we do, the pipe to it ends then.

    There is one for all of them. PR_SET_PDEATHSIG would not do: it comes when the thread that started the program ends,
    and only to the program itself, not to what that has started.
    """

    _SCRIPT = """trap '' HUP INT TERM
        led=' '
        while read -r what leader; do
            case $what in
            +) led="$led$leader " ;;
            -) led="${led%% "$leader" *} ${led#* "$leader" }" ;;
            esac
        done
        for leader in $led; do kill -s KILL -- "-$leader"; done"""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._leaders: set[int] = set()
        self._process: Process | None = None
        #: Who started it: a fork of ours needs one of its own.
        self._owner = 0

    def begin(self) -> None:
        """Be there before the program is that is to be guarded."""
        with self._lock:
            self._started()

    @contextmanager
    def over(self, leader: int) -> Iterator[None]:
        """Guard the group of this leader while the block lasts."""
        with self._lock:
            self._started()
            self._leaders.add(leader)
            self._tell(f"+ {leader}\n")
        try:
            yield
        finally:
            with self._lock:
                self._leaders.discard(leader)
                self._tell(f"- {leader}\n")

    def _tell(self, line: str) -> None:
        assert self._process
        assert self._process.stdin
        try:
            self._process.stdin.write(line.encode())
        except BrokenPipeError:  # somebody killed it
            self._process.wait()
            self._process = None
            self._started()

    def _started(self) -> None:
        if self._owner != os.getpid():
            self._process, self._owner = None, os.getpid()
            self._leaders.clear()
        if self._process is None:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", self._SCRIPT],
                cwd="/",
                stdin=PIPE,
                stdout=DEVNULL,
                stderr=DEVNULL,
                bufsize=0,
                start_new_session=True,
            )
            for leader in self._leaders:
                self._tell(f"+ {leader}\n")

    def end(self) -> None:
        """End it. A new one is started where another program is."""
        with self._lock:
            if self._process and self._owner == os.getpid():
                self._process.communicate()
            self._process = None


_GUARD = _Guard()
#: To be called before the process becomes another program: nobody would wait for its guard there.
end_guard = atexit.register(_GUARD.end)


def kill_group(process: Process) -> None:
    """Kill every process of the group that ``process`` leads, and reap it."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _completed(argv: Sequence[str | Path], status: int, out: bytes, err: bytes) -> Completed:
    return Completed(
        tuple(map(str, argv)), status, out.decode(errors="backslashreplace"), err.decode(errors="backslashreplace")
    )
