# SPDX-License-Identifier: GPL-2.0-only
"""QEMU's monitor, with QEMU played by a thread that speaks its protocol."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kfunctest import proc
from kfunctest.errors import VmDied, VmHung, VmLost
from kfunctest.guest.log_markers import AGENT_ENDED
from kfunctest.machine import post_mortem, stacks
from kfunctest.machine.console import Console
from kfunctest.machine.monitor import Monitor, NoAnswer, listening
from kfunctest.machine.post_mortem import OfVm
from kfunctest.wait import wait_until

REGISTERS = """
CPU#0
RAX=0000000000000000 RBX=0000000000000000
RIP=ffffffff81a2b3c4 RFL=00000246 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=1
CPU#1
RAX=0000000000000000 RBX=0000000000000000
RIP=ffffffff81555555 RFL=00000006 [-----P-] CPL=0 II=0 A20=1 SMM=0 HLT=0
"""


class FakeQemu:
    """Connects to the monitor and answers; ``does`` maps a command to what it does and returns."""

    def __init__(self, options: str) -> None:
        words = dict(word.partition("=")[::2] for word in options.split()[1].split(","))
        self.connection = socket.socket(socket.AF_UNIX)
        self.connection.connect("\0" + words["path"])
        self.said: list[str] = []
        self.does: dict[str, Callable[[dict[str, object]], object]] = {
            "query-status": lambda _: {"running": True, "status": "running"},
            "human-monitor-command": lambda _: REGISTERS.replace("\n", "\r\n"),  # as QEMU ends its lines
        }
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        self.send({"QMP": {"version": {}, "capabilities": []}})
        with self.connection.makefile("rb") as lines:
            for line in lines:
                order = json.loads(line)
                self.said.append(order["execute"])
                if order["execute"] == "qmp_capabilities":
                    self.send({"return": {}, "id": order["id"]})
                elif order["execute"] in self.does:
                    self.send({"return": self.does[order["execute"]](order["arguments"]), "id": order["id"]})
                else:
                    self.send({"error": {"class": "GenericError", "desc": "not here"}, "id": order["id"]})

    def send(self, message: dict[str, object]) -> None:
        self.connection.sendall(json.dumps(message).encode() + b"\r\n")

    def end(self, reason: str | None) -> None:
        """End as QEMU does; None: as one that is killed."""
        if reason:
            self.send({"event": "SHUTDOWN", "data": {"guest": True, "reason": reason}, "timestamp": {}})
        self.connection.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def monitor() -> Iterator[Monitor]:
    with listening() as monitor:
        yield monitor


@pytest.fixture
def qemu(monitor: Monitor) -> Iterator[FakeQemu]:
    fake = FakeQemu(monitor.options)
    wait_until(lambda: "qmp_capabilities" in fake.said, seconds=5, what="the monitor to come up")
    yield fake
    fake.connection.close()


@pytest.fixture
def vm(monitor: Monitor, qemu: FakeQemu, tmp_path: Path) -> OfVm:
    (tmp_path / "run").mkdir()
    (tmp_path / "console").write_text("[    1.0] all is well\n")
    return OfVm(Console(tmp_path / "console"), monitor, tmp_path / "run", 1)


def test_qemu_is_known_by_its_process(monitor: Monitor, qemu: FakeQemu) -> None:
    assert monitor.pid == os.getpid()
    assert monitor.ask("query-status", 5) == {"running": True, "status": "running"}


def test_a_refusal_is_told(monitor: Monitor, qemu: FakeQemu) -> None:
    with pytest.raises(NoAnswer, match="refuses quit: not here"):
        monitor.ask("quit", 5)


def test_events_are_no_answers(monitor: Monitor, qemu: FakeQemu) -> None:
    for number in range(3):
        qemu.send({"event": "RTC_CHANGE", "data": {"offset": number}})
    assert monitor.ask("query-status", 5)["running"]


@pytest.mark.parametrize("reason", ["guest-reset", "host-signal", None])
def test_the_end_and_its_reason(monitor: Monitor, qemu: FakeQemu, reason: str | None) -> None:
    assert not monitor.ended(0)
    qemu.end(reason)
    assert monitor.ended(5)
    assert monitor.reason == reason
    with pytest.raises(NoAnswer):
        monitor.ask("query-status", 0.2)


def test_a_qemu_that_never_came(monitor: Monitor) -> None:
    assert monitor.ended(0)
    assert not monitor.stopped
    with pytest.raises(NoAnswer, match="never came up"):
        monitor.ask("query-status", 1)


def test_a_stopped_process_is_seen(monitor: Monitor) -> None:
    name = dict(word.partition("=")[::2] for word in monitor.options.split()[1].split(","))["path"]
    script = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect('\\0' + sys.argv[1]); s.recv(1)"
    with proc.spawn([sys.executable, "-c", script, name]) as qemu:
        wait_until(lambda: monitor.pid == qemu.pid, seconds=10, what="the connection")
        assert not monitor.stopped
        qemu.send_signal(signal.SIGSTOP)
        wait_until(lambda: monitor.stopped, seconds=5, what="the process to be stopped")


def test_a_hang_is_asked_for_stacks(vm: OfVm, qemu: FakeQemu) -> None:
    """The console answers a BREAK and a letter that come through the pipe that QEMU is told to read."""
    pipes: list[int] = []

    def change(arguments: dict[str, object]) -> object:
        backend = arguments["backend"]
        assert isinstance(backend, dict)
        assert (arguments["id"], backend["type"]) == ("console", "file")
        assert backend["data"]["out"] == str(vm.console.path)
        assert backend["data"]["append"] is True
        pipes.append(os.open(backend["data"]["in"], os.O_RDONLY))
        threading.Thread(target=answer, daemon=True).start()
        return {}

    def answer() -> None:
        while key := os.read(pipes[0], 1).decode():
            with vm.console.path.open("a") as out:
                out.write(f"[   20.0] {stacks.KEYS[key]}\n[   20.1] stack of {key}\n")

    qemu.does |= {"chardev-change": change, "chardev-send-break": lambda _: {}}
    lost = vm.silent("agent.ping", 0, "no answer within 6 s")
    assert isinstance(lost, VmHung)
    assert lost.what == "during agent.ping: no answer within 6 s"
    assert "(sysrq w, l)" in lost.seen
    assert "stack of w" in lost.seen
    assert "stack of l" in lost.seen
    assert "CPU 0 is at 0xffffffff81a2b3c4, interrupts on" in lost.seen
    assert "CPU 1 is at 0xffffffff81555555, interrupts off" in lost.seen
    assert "inject-nmi" not in qemu.said
    os.close(pipes[0])


def test_a_slow_machine_gives_qemu_more_time(vm: OfVm, qemu: FakeQemu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacks, "MONITOR", 0.2)

    def late(_: dict[str, object]) -> object:
        threading.Event().wait(0.6)
        return {"running": False, "status": "paused"}

    qemu.does["query-status"] = late
    assert "does not run the guest (paused)" in str(replace(vm, slowdown=20).silent("agent.ping", 0, "no answer"))


@pytest.mark.parametrize("answers", [True, False])
def test_a_hang_with_interrupts_off(vm: OfVm, qemu: FakeQemu, answers: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacks, "BEGIN", 0.3)

    def nmi(_: dict[str, object]) -> object:
        del qemu.does["human-monitor-command"]  # a kernel that panics takes QEMU with it
        if answers:
            with vm.console.path.open("a") as out:
                out.write(
                    "[   21.0] Kernel panic - not syncing: NMI: Not continuing\n[   21.0] RIP: 0010:spin+0x1/0x2\n"
                )
        return {}

    qemu.does |= {"chardev-change": lambda _: {}, "chardev-send-break": lambda _: {}, "inject-nmi": nmi}
    lost = vm.silent("agent.ping", 0, "no answer within 6 s")
    assert isinstance(lost, VmHung)
    assert ("spin+0x1/0x2" in lost.seen) is answers
    assert ("answers neither sysrq nor an NMI" in lost.seen) is not answers
    assert "interrupts off" in lost.seen


@pytest.mark.parametrize(
    "status, kind, what",
    [
        ({"running": False, "status": "internal-error"}, VmLost, "does not run the guest (internal-error)"),
        ({"running": False, "status": "paused"}, VmLost, "does not run the guest (paused)"),
    ],
)
def test_a_guest_that_qemu_does_not_run_hangs_not(
    vm: OfVm, qemu: FakeQemu, status: object, kind: type[VmDied], what: str
) -> None:
    qemu.does["query-status"] = lambda _: status
    lost = vm.silent("agent.ping", 0, "no answer within 6 s")
    assert type(lost) is kind
    assert what in lost.what
    assert "inject-nmi" not in qemu.said


def test_silence_after_a_panic_is_a_crash(vm: OfVm, qemu: FakeQemu) -> None:
    vm.console.path.write_text("[ 9.0] Kernel panic - not syncing: hung in the middle of it\n")
    lost = vm.silent("agent.ping", 0, "no answer within 6 s")
    assert type(lost) is VmDied
    assert "hung in the middle of it" in lost.what


def test_silence_after_an_oops_is_a_crash(vm: OfVm, qemu: FakeQemu) -> None:
    """It ended the thread of the agent's that was in the kernel; an oops before this request ended none of these."""
    before = vm.console.size()
    oops = "BUG: kernel NULL pointer dereference, address: 0\nOops: 0002 [#1] SMP\nRIP: 0010:spin+0x1/0x2\n"
    with vm.console.path.open("a") as out:
        out.write(oops)
    lost = vm.silent("agent.ping", before, "no answer within 6 s")
    assert type(lost) is VmDied
    assert "NULL pointer dereference" in lost.what
    assert "at spin+0x1/0x2" in lost.what
    assert "inject-nmi" not in qemu.said


def test_a_channel_that_breaks_under_a_living_vm(vm: OfVm, qemu: FakeQemu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(post_mortem, "END_SECONDS", 0.1)
    lost = vm.gone("agent.ping", 0, "the channel ended")
    assert type(lost) is VmLost
    assert "the channel to the agent broke, and QEMU runs on" in lost.what
    with vm.console.path.open("a") as out:
        out.write(f"[ 3.0] {AGENT_ENDED} 139\n")
    assert "the agent ended by signal 11" in vm.gone("agent.ping", 0, "the channel ended").what


def test_the_console_is_read_when_its_supervisor_has_copied_all(vm: OfVm, qemu: FakeQemu) -> None:
    """The panic's text comes after the channel's end; the supervisor removes the folder when it is all there."""

    def keep() -> None:
        with vm.console.path.open("a") as out:
            out.write("[ 9.0] Kernel panic - not syncing: late\n")
        vm.folder.rmdir()

    qemu.end("guest-reset")
    threading.Timer(0.5, keep).start()
    assert "late" in vm.gone("agent.ping", 0, "the channel ended").what
