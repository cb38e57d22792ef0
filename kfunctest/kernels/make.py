# SPDX-License-Identifier: GPL-2.0-only
"""Runs the kernel's make in a slot: the environment it gets, progress, the log, and how it ended."""

from __future__ import annotations

import os
import re
import shutil
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from kfunctest import cache, proc
from kfunctest.errors import InfraError, SpecError
from kfunctest.kernels import first_error, toolchain
from kfunctest.kernels.build_dir import Slot
from kfunctest.kernels.progress import Progress
from kfunctest.kernels.toolchain import Toolchain

#: Seconds: a debug kernel takes about half an hour of two slow cores. What takes longer than this does not move.
_BUILD_SECONDS: Final = 6 * 3600.0
_CONFIG_SECONDS: Final = 1200.0
#: Seconds in which make, told to stop, removes the targets that it was making.
_GRACE: Final = 5.0

#: What the kernel's make may know of our environment; all else (KBUILD_*, KCFLAGS, MAKEFLAGS, CC, ...) could change
#: what comes out. Of ccache's, those say where and how much it remembers; others name a compiler of their own, or
#: options that are not to make a difference (CCACHE_COMPILER, CCACHE_IGNOREOPTIONS).
_CCACHE: Final = (
    r"CCACHE_(?:DIR|CONFIGPATH|TEMPDIR|MAXSIZE|MAXFILES|DISABLE|UMASK|\w*STORAGE|REMOTE_ONLY|READONLY|LOGFILE)"
)
_KEPT: Final = re.compile(rf"PATH|HOME|USER|LOGNAME|{_CCACHE}|XDG_\w+|LD_LIBRARY_PATH")
#: A line of make's about an object of the kernel: "  CC      mm/memcontrol.o".
_OBJECT: Final = re.compile(rb"^\s+(?:CC|AS|LD|AR|LDS|UPD|OBJCOPY)\b.*\.o$")

#: About how many objects a whole build makes, by flavours, as seen with 7.2.13.
TYPICAL: Final[Mapping[tuple[str, ...], int]] = {(): 1460, ("debug",): 1600}


def configure(slot: Slot, tools: Toolchain, fragment: str, flavours: Sequence[str]) -> str:
    """Configure the slot: allnoconfig with ``fragment`` on top, then olddefconfig. Returns the final ``.config``.

    Raises SpecError when the source cannot be configured, InfraError when this machine cannot.
    """
    preset, final = slot.folder / "fragments.config", slot.obj / ".config"
    before = _read(final)
    preset.write_text(fragment)
    slot.log.write_bytes(b"")
    for target in ("allnoconfig", "olddefconfig"):
        words = [target, f"KCONFIG_ALLCONFIG={preset}"] if target == "allnoconfig" else [target]
        _run(slot, tools, flavours, words, _CONFIG_SECONDS, lambda _line: None)
    text = final.read_text()
    if before is not None and before[0] == text:
        os.utime(final, ns=(before[1], before[1]))  # make does not look into an old one again
    return text


def build(slot: Slot, tools: Toolchain, flavours: Sequence[str], what: str, progress: Progress) -> Path:
    """Build the configured slot; returns the image. ``what`` is said to the person who waits.

    Raises SpecError (this source does not compile) or InfraError (the machine is at fault), either with the first
    error as evidence and the log's path.
    """
    whole = not slot.whole.exists()
    # How much a change compiles, make itself knows only when it is done.
    expected = TYPICAL.get(tuple(sorted(flavours)), TYPICAL[()]) if whole else None
    done = _count(slot) if whole else 0
    with progress.steps(f"building {what}" if whole else f"rebuilding {what}", expected, "objects") as report:
        count = 0

        def see(line: bytes) -> None:
            nonlocal count
            if _OBJECT.match(line):
                count += 1
                report(done + count)

        jobs = len(os.sched_getaffinity(0))
        _run(slot, tools, flavours, [f"-j{jobs}", "--output-sync=target", "bzImage"], _BUILD_SECONDS, see)
    slot.whole.touch()
    image = slot.obj / "arch" / "x86" / "boot" / "bzImage"
    if not image.is_file():
        raise SpecError(f"make ended well and made no {image}", remedy=f"look at {slot.log}")
    return image


def _count(slot: Slot) -> int:
    return sum(1 for _ in slot.obj.rglob("*.o"))


def _read(path: Path) -> tuple[str, int] | None:
    try:
        return path.read_text(), path.stat().st_mtime_ns
    except OSError:
        return None


def _run(
    slot: Slot,
    tools: Toolchain,
    flavours: Sequence[str],
    words: Sequence[str],
    seconds: float,
    see: Callable[[bytes], None],
) -> None:
    shutil.rmtree(slot.scratch, ignore_errors=True)
    slot.scratch.mkdir()
    argv = [proc.need("make"), "-C", str(slot.src), f"O={slot.obj}", *_variables(slot, flavours), *words]
    start = time.monotonic()
    with (
        slot.log.open("ab", buffering=0) as log,
        proc.spawn(argv, env=_environment(slot, tools), stdout=proc.PIPE, stderr=proc.STDOUT, guarded=True) as process,
    ):
        alarm = threading.Timer(seconds, proc.kill_group, [process])
        alarm.start()
        try:
            assert process.stdout
            for line in process.stdout:
                log.write(line)
                see(line)
            status = process.wait()
        except BaseException:
            _stop(process)
            raise
        finally:
            alarm.cancel()
    shutil.rmtree(slot.scratch, ignore_errors=True)
    if status:
        if time.monotonic() - start >= seconds:
            raise InfraError(f"the build did not end within {seconds:g} s", remedy=f"look at {slot.log}")
        raise _failure(slot, status)


def _stop(process: proc.Process) -> None:
    """Let make remove what it was making; the group is killed by whoever spawned it."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(Exception):
        process.wait(_GRACE)


def _failure(slot: Slot, status: int) -> SpecError | InfraError:
    log = slot.log.read_text(errors="replace")
    if proc.out_of_space(log) or cache.is_full():
        return cache.no_space()
    remedy = f"the whole log is {slot.log}"
    if status < 0:
        killer = f"make was ended from outside, by signal {-status}"
        return InfraError(killer, remedy=f"if nobody did, the machine is out of memory; {remedy}")
    found = first_error.find(log)
    if found is None:
        return SpecError(f"make ended with status {status}", remedy=remedy)
    kind = InfraError if found.machine else SpecError
    more = f"{found.remedy}; {remedy}" if found.remedy else remedy
    return kind(f"the kernel does not build: {found.line}", remedy=more, evidence=found.context)


def _variables(slot: Slot, flavours: Sequence[str]) -> list[str]:
    """What make is told so that the same tree gives the same image, wherever and by whomever it is built.

    (Documentation/kbuild/reproducible-builds.rst of the kernel)
    """
    # The second for ccache, which gives the compiler relative paths in the place of those below CCACHE_BASEDIR.
    maps = f"-ffile-prefix-map={slot.src}/= -ffile-prefix-map=../{slot.src.name}/= -fdebug-prefix-map={slot.obj}=."
    return [
        "ARCH=x86_64",
        f"LOCALVERSION=-{'-'.join(sorted(flavours)) or 'slim'}",
        "KBUILD_BUILD_TIMESTAMP=Thu Jan  1 00:00:00 UTC 1970",
        "KBUILD_BUILD_USER=kfunctest",
        "KBUILD_BUILD_HOST=kfunctest",
        "KBUILD_BUILD_VERSION=1",
        f"KCFLAGS={maps}",
        f"KAFLAGS={maps}",
    ]


def _environment(slot: Slot, tools: Toolchain) -> dict[str, str | None]:
    dropped: dict[str, str | None] = {name: None for name in os.environ if not _KEPT.fullmatch(name)}
    ours = {"LC_ALL": "C", "TZ": "UTC", "TMPDIR": str(slot.scratch), "GIT_CEILING_DIRECTORIES": str(slot.folder)}
    # As the first of PATH and not as CC="ccache gcc": to get or lose ccache changes no command line, and so rebuilds
    # nothing.
    ours["PATH"] = f"{toolchain.wrappers(tools)}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    if tools.ccache is None:  # PATH's gcc may be a link to one all the same
        ours["CCACHE_DISABLE"] = "1"
    else:  # slots share what is equal but for their paths
        ours |= {"CCACHE_BASEDIR": str(slot.folder), "CCACHE_NOHASHDIR": "1"}
    return {**dropped, **ours}
