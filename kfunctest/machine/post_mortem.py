# SPDX-License-Identifier: GPL-2.0-only
"""What became of a machine that stopped answering: who is to blame, by all that can be learned of it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from kfunctest.errors import VmDied, VmHung, VmLost
from kfunctest.machine import death, stacks, supervisor
from kfunctest.machine.console import Console
from kfunctest.machine.monitor import Monitor, NoAnswer
from kfunctest.wait import wait_until

#: Seconds (with KVM) until QEMU has ended whose channel has.
END_SECONDS = 5.0


class PostMortem(Protocol):
    """Finds out, once, why nothing can be asked any more.

    ``during`` names the request, ``start`` is the byte of the console at which it began, ``how`` what the channel says.
    """

    def gone(self, during: str, start: int, how: str) -> VmDied:
        """The channel ended."""

    def silent(self, during: str, start: int, how: str) -> VmDied:
        """No answer came in time."""


@dataclass(frozen=True, slots=True)
class FromAfar:
    """Of a machine of which nothing is seen but the channel: that it ended tells nothing about the kernel."""

    console: Console

    def gone(self, during: str, start: int, how: str) -> VmDied:  # noqa: ARG002 (it has no console of the kernel)
        """See :class:`PostMortem`."""
        return VmLost(f"during {during}: the machine was lost: {how}", self.console.tail())

    def silent(self, during: str, start: int, how: str) -> VmDied:  # noqa: ARG002
        """See :class:`PostMortem`."""
        return VmHung(f"during {during}: {how}", self.console.tail())


@dataclass(frozen=True, slots=True)
class OfVm:
    """Of a VM of ours. ``folder`` is its run's, which its supervisor removes when it has copied all of the console."""

    console: Console
    monitor: Monitor
    folder: Path
    slowdown: int

    def gone(self, during: str, start: int, how: str) -> VmDied:
        """See :class:`PostMortem`."""
        if self.monitor.ended(END_SECONDS * self.slowdown):
            with suppress(TimeoutError):
                wait_until(
                    lambda: not self.folder.exists(), seconds=supervisor.END_SECONDS, what="the supervisor's end"
                )
            return self._died(death.of_vm(self.console.text(), self.console.text(start), self.monitor.reason), during)
        broken = death.Death(kernel=False, why=f"the channel to the agent broke, and QEMU runs on: {how}")
        return self._died(death.of_agent(self.console.text(), self.console.text(start)) or broken, during)

    def silent(self, during: str, start: int, how: str) -> VmDied:
        """See :class:`PostMortem`. A kernel that hangs is asked for its stacks."""
        if why := _not_running(self.monitor, self.slowdown):
            return self._died(death.Death(kernel=False, why=why), during)
        text = self.console.text()
        if why := death.panic(text):
            return self._died(death.Death(kernel=True, why=f"the kernel panicked: {why}"), during)
        if agent := death.of_agent(text, self.console.text(start)):
            return self._died(agent, during)
        # An oops ends a thread: that of the agent's which was in the kernel. The others live on, and answer nothing.
        if why := death.oops(self.console.text(start)):
            return self._died(death.Death(kernel=True, why=f"an oops, and no answer of the agent since: {why}"), during)
        seen = stacks.collect(self.monitor, self.console, self.folder, self.slowdown)
        return VmHung(f"during {during}: {how}", self.console.tail(), seen=seen)

    def _died(self, found: death.Death, during: str) -> VmDied:
        remedy = f"; {found.remedy}" if found.remedy else ""
        kind = VmDied if found.kernel else VmLost
        return kind(f"during {during}: {found.why}{remedy}", self.console.tail())


def _not_running(monitor: Monitor, slowdown: int) -> str | None:
    """Why QEMU runs no guest; None when it does."""
    if monitor.stopped:
        return "QEMU was stopped (SIGSTOP or a debugger)"
    try:
        state = monitor.ask("query-status", stacks.MONITOR * slowdown)
    except NoAnswer as error:
        return str(error)
    # RunState of QEMU's qapi/run-state.json: "internal-error" is a KVM that could not go on, "io-error" a disk.
    return None if state["running"] else f"QEMU does not run the guest ({state['status']})"
