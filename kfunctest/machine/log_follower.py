# SPDX-License-Identifier: GPL-2.0-only
"""Watches what the kernel of one VM complains of, from one look at its log to the next."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import filterfalse

from kfunctest.errors import GuestError, InfraError, VmDied, VmHung, VmLost
from kfunctest.guest import kmemleak
from kfunctest.guest.kmsg import CLEAR_WARN_ONCE, REMEDY
from kfunctest.kernels.model import Kernel
from kfunctest.machine import splats, stacks, taint
from kfunctest.machine.decode import decoded
from kfunctest.machine.kernel_log import Log, Record, Slice, clean, from_console, shown
from kfunctest.machine.vm import Vm
from kfunctest.results import Splat
from kfunctest.wait import wait_until

#: Seconds (with KVM) that a line may take from the kernel's log to the console's file.
CATCH_UP_SECONDS = 5.0
#: Seconds (with KVM) for kmemleak to go through the kernel's memory twice, with KASAN and lockdep watching it.
SCAN_SECONDS = 60.0
#: Seconds for which a kernel that is asked for nothing is taken to have nothing to say.
QUIET_SECONDS = 0.05
#: How each mark of ours begins.
MARK = "kfunctest: "


@dataclass(frozen=True, slots=True)
class Found:
    """What one look found: complaints, the log as dmesg shows it, and why the VM was lost while we looked, or None.

    ``doubt`` is why something that should have been looked for was not, one line, or empty.
    """

    splats: tuple[Splat, ...] = ()
    log: str = ""
    died: VmDied | None = None
    doubt: str = ""


class Watch:
    """Follows the log of one VM from its boot on; where it is none of ours, from now on, and without a console.

    Raises VmDied or VmHung where that cannot even be begun, InfraError where there is no log to follow.
    """

    def __init__(self, vm: Vm, *, ours: bool = True) -> None:
        self.vm = vm
        self._ours = ours
        self._looks = 0
        #: How many requests there had been at the last look, and when that was.
        self._asked, self._looked = -1, 0.0
        #: How many there had been when the last test began.
        self._begun = -1
        self._taint = 0
        self._last = ""
        self._at = 0
        self._over = False
        #: Whether the last look ended amid a complaint: its stacks are not the next test's.
        self._amid = False
        self._leaks = ours and reports_leaks(vm.kernel)
        try:
            self._log = Log(vm, whole=ours)
            if not ours:
                self._taint = self._log.look(f"{MARK}begins to watch", rearm=True).taint or 0
            if self._leaks:
                with suppress(GuestError):  # where it does not run, a scan will say so
                    vm.call(kmemleak.hold)
        except GuestError as error:
            raise InfraError(
                f"the kernel's log cannot be followed ({error.kind}: {error.message})", remedy=REMEDY
            ) from error

    def look(self, word: str, *, always: bool = False) -> Found:
        """What the kernel logged since the last look. ``word`` says where we are; the log and the console show it.

        Decides whether the VM is spent. Warnings that speak once a boot may speak again afterwards. A kernel that was
        asked for nothing since the last look, a moment ago, is left in peace unless ``always``: a test whose verdicts
        are known already costs nothing.
        """
        died = None
        quiet = self.vm.asked == self._asked and time.monotonic() - self._looked < QUIET_SECONDS
        if self._over or (quiet and not always):
            return Found()
        if not self.vm.lost:
            self._looks += 1
            mark = clean(f"{MARK}{self._looks} {word}")
            try:
                found = self._live(mark)
                self._asked, self._looked = self.vm.asked, time.monotonic()
                return found
            except VmDied as error:
                died = error
            except GuestError as error:
                line = f"the kernel's log cannot be read ({error.kind}: {error.message})"
                return Found((Splat("lost", line, line),))
        self._over = True
        return replace(self._from_console(None), died=died)

    def begin(self, word: str) -> Found:
        """Look before a test: what is still said of what the one before had the kernel do is not the next one's."""
        worked = self.vm.asked != self._begun
        found = self.look(word, always=worked)
        self._begun = self.vm.asked
        return found

    def leaks(self) -> Found:
        """What the kernel has leaked since its boot, where it is one that can tell: the last look at a VM.

        Takes the time of two scans of all its memory. Nothing is to be looked at afterwards.
        """
        if not self._leaks or self._over:
            return self.look("its last look", always=True)
        try:
            objects = self.vm.call_within(SCAN_SECONDS, kmemleak.scan)
        except VmDied as error:
            doubt = self._unsearched(error.what) if isinstance(error, VmLost) else ""
            return replace(self.look("kmemleak"), died=error, doubt=doubt)
        except GuestError as error:
            return Found(doubt=self._unsearched(f"{error.kind}: {error.message}"))
        found = self.look("kmemleak has looked")
        return replace(found, splats=tuple(_with_objects(splat, objects) for splat in found.splats))

    def _unsearched(self, why: str) -> str:
        return f"{self.vm.kernel.id} has CONFIG_DEBUG_KMEMLEAK, and leaks were not looked for ({why})"

    def _live(self, mark: str) -> Found:
        at = self.vm.console.size()
        seen = self._log.look(mark, rearm=True)
        # The console keeps what the kernel's buffer did not, unless it could not keep up either.
        found = self._from_console(mark, seen) if seen.lost and self._reaches_console(mark) else self._judged(seen)
        self._last, self._at = mark, at
        return found

    def _reaches_console(self, mark: str) -> bool:
        if not self._ours:
            return False
        seconds = CATCH_UP_SECONDS * self.vm.accelerator.slowdown
        try:
            wait_until(lambda: mark in self.vm.console.text(self._at), seconds=seconds, what="the console to catch up")
        except TimeoutError:
            return False
        return True

    def _from_console(self, mark: str | None, seen: Slice | None = None) -> Found:
        """What the console's file holds since the last mark, down to ``mark`` or to its end."""
        text = self.vm.console.text(self._at)
        records, dropped = _since(self._last, text.rpartition(mark)[0] if mark else text)
        return self._judged(replace(seen or Slice(()), records=tuple(records), lost=dropped))

    def _judged(self, seen: Slice) -> Found:
        complaints = splats.find(seen.records, amid=self._amid)
        self._amid = splats.ends_amid(seen.records, amid=self._amid)
        found = [*filterfalse(self._is_our_panic, complaints), *_lost(seen)]
        if seen.taint is not None:
            found += _tainted(self._taint, seen.taint, found)
            self._taint = seen.taint
        if self._looks > 1:  # what a boot makes it say the next one would, and every test would boot a VM
            self.vm.spent = self.vm.spent or splats.spent_by(found) or _unarmed(seen, found)
        placed = (replace(splat, text=decoded(splat.text, self.vm.kernel.vmlinux)) for splat in found)
        text = shown(record for record in seen.records if not record.text.startswith(MARK))
        return Found(tuple(placed), f"{text}\n" if text else "")

    def _is_our_panic(self, splat: Splat) -> bool:
        """Whether the kernel says by it that it obeyed us: one that hung was sent an NMI, to panic with its stacks."""
        return isinstance(self.vm.lost, VmHung) and splat.line.startswith(stacks.NMI_PANIC)


def _since(mark: str, text: str) -> tuple[Sequence[Record], int]:
    """A console's records behind ``mark``, and how many it left out.

    Without the mark there are none: what a dying kernel's console got to was read from the log before. One that left
    records out may have left out the mark.
    """
    before, found, after = text.partition(mark) if mark else ("", "", text)
    if found or not mark:
        return from_console(after.partition("\n")[2] if found else after)
    records, dropped = from_console(before)
    return (records, dropped) if dropped else ((), 0)


def reports_leaks(kernel: Kernel) -> bool:
    """Whether kmemleak runs on this kernel, as far as its configuration is known."""
    if kernel.config is None or kernel.option("CONFIG_DEBUG_KMEMLEAK") != "y":
        return False
    return kernel.option("CONFIG_DEBUG_KMEMLEAK_DEFAULT_OFF") != "y"


def _with_objects(splat: Splat, objects: str) -> Splat:
    """The line in the log only counts: what was leaked, and who allocated it, is in a file of its own."""
    return replace(splat, text=f"{splat.text}\n{objects}".rstrip()) if splat.kind == "kmemleak" else splat


def _lost(seen: Slice) -> list[Splat]:
    if not seen.lost:
        return []
    line = f"{seen.lost} records of the kernel's log were lost before they were read"
    return [Splat("lost", line, line)]


def _tainted(before: int, after: int, found: Sequence[Splat]) -> list[Splat]:
    """Taint that no complaint in the log explains."""
    if found:
        return []
    new = taint.complaints(before, after)
    lines = [f"the kernel is tainted {bit.letter} ({bit.meaning}), and its log does not say why" for bit in new]
    return [Splat("taint", line, line) for line in lines]


def _unarmed(seen: Slice, found: Sequence[Splat]) -> str | None:
    if seen.armed or not found:
        return None
    return f"{found[0].kind}: warnings that speak once a boot cannot be armed again (no {CLEAR_WARN_ONCE})"
