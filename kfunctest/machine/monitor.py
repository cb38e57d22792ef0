# SPDX-License-Identifier: GPL-2.0-only
"""QEMU's monitor: how QEMU is doing while it runs, and why it ended.

We listen and QEMU connects (its documentation: "QEMU Machine Protocol", docs/interop/qmp-spec). The socket's name is an
abstract one, since a temporary folder's path may be longer than a socket's may. Who connects is known from the kernel,
and so is QEMU's process.
"""

from __future__ import annotations

import json
import os
import queue
import secrets
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

#: struct ucred: pid, uid, gid (socket(7)).
_UCRED = struct.Struct("3i")


class NoAnswer(Exception):
    """QEMU did not answer in time, is gone, or refused; the message says which."""


class Monitor:
    """The monitor of one QEMU. Safe to ask before it runs and after it is gone."""

    def __init__(self, listener: socket.socket, name: str) -> None:
        self._listener = listener
        self._name = name
        self._connection: socket.socket | None = None
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self._numbers = iter(range(1, 1 << 30))
        self._connected = threading.Event()
        self._gone = threading.Event()
        #: The process id of QEMU, once it has connected.
        self.pid: int | None = None
        #: Why QEMU ended, in its own words (ShutdownCause of qapi/run-state.json); None while it runs, or killed.
        self.reason: str | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def options(self) -> str:
        """The options that make QEMU connect to us."""
        return f"-chardev socket,id=kfunctest,path={self._name},abstract=on -mon chardev=kfunctest,mode=control"

    def ended(self, seconds: float) -> bool:
        """Whether QEMU has ended, or does within ``seconds``. One that never came up has ended."""
        return not self._connected.is_set() or self._gone.wait(seconds)

    @property
    def stopped(self) -> bool:
        """Whether QEMU's process is stopped, by SIGSTOP or a debugger (proc(5): states T and t)."""
        with suppress(OSError, TypeError):
            return (Path("/proc") / str(self.pid) / "stat").read_text().rpartition(")")[2].split()[0] in "Tt"
        return False

    def ask(self, command: str, seconds: float, **arguments: object) -> Any:
        """Let QEMU execute a command and return what it returns. Raises NoAnswer."""
        if self._connection is None:
            raise NoAnswer("QEMU never came up")
        number = next(self._numbers)
        order = {"execute": command, "arguments": arguments, "id": number}
        try:
            self._connection.sendall(json.dumps(order).encode() + b"\n")
            while (answer := self._answers.get(timeout=seconds)).get("id") != number:
                pass
        except (OSError, queue.Empty) as error:
            raise NoAnswer(f"QEMU does not answer {command}") from error
        if "error" in answer:
            raise NoAnswer(f"QEMU refuses {command}: {answer['error'].get('desc')}")
        return answer["return"]

    def tell(self, line: str, seconds: float) -> str:
        """Let QEMU execute a line as its users type them, and return what it prints. Raises NoAnswer."""
        return str(self.ask("human-monitor-command", seconds, **{"command-line": line}))

    def close(self) -> None:
        """Let go of QEMU, which runs on."""
        for end in (self._listener, self._connection):
            if end:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)  # wakes the thread
                end.close()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._connection = connection = self._accept()
            with connection.makefile("rb") as lines:
                lines.readline()  # the greeting
                connection.sendall(b'{"execute": "qmp_capabilities", "id": 0}\n')
                for line in lines:
                    self._take(json.loads(line))
        except (OSError, ValueError):
            return
        finally:
            self._gone.set()

    def _accept(self) -> socket.socket:
        """The first connection by a process of our own user: anybody may connect to an abstract name."""
        while True:
            connection, _ = self._listener.accept()
            pid, uid, _ = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
            if uid == os.geteuid():
                self.pid = pid
                self._connected.set()
                return connection
            connection.close()

    def _take(self, message: dict[str, Any]) -> None:
        if message.get("event") == "SHUTDOWN":
            self.reason = str(message["data"].get("reason", "unknown"))
        elif "id" in message:
            self._answers.put(message)


@contextmanager
def listening() -> Iterator[Monitor]:
    """A monitor that waits for its QEMU."""
    name = f"kfunctest-{secrets.token_hex(8)}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"\0{name}")
        listener.listen()
        monitor = Monitor(listener, name)
        try:
            yield monitor
        finally:
            monitor.close()
