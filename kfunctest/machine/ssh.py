# SPDX-License-Identifier: GPL-2.0-only
"""Another machine, reached by the user's own ssh, with all that the user's ssh_config says of it."""

from __future__ import annotations

import re
import shlex

from kfunctest import proc
from kfunctest.errors import SpecError
from kfunctest.machine.live_machine import Place

#: Interpreters that a machine may have: the one without a number may be older than 3.11 where another is there too.
PYTHONS = ("python3", "python3.14", "python3.13", "python3.12", "python3.11")
#: Nothing may wait for an answer on a terminal, and a connection that is dead must end.
OPTIONS = ("BatchMode=yes", "ConnectTimeout=20", "ServerAliveInterval=15", "ServerAliveCountMax=4", "LogLevel=ERROR")
#: ssh's own status for whatever went wrong before the command ran, or with the connection (ssh(1), EXIT STATUS).
FAILED = 255


def place(words: str) -> Place:
    """The machine that ``words`` name as ssh's own arguments do: ``root@host``, or ``-p 2222 host``.

    Raises SpecError where they name none, InfraError where there is no ssh.
    """
    try:
        named = shlex.split(words)
    except ValueError as error:
        raise SpecError(f"--target ssh:{words} cannot be read ({error})", remedy="write --target ssh:HOST") from None
    if not named or named[-1].startswith("-"):
        raise SpecError("--target ssh: names no machine", remedy="write --target ssh:HOST, as for ssh itself")
    options = [word for option in OPTIONS for word in ("-o", option)]
    argv = (proc.need("ssh"), "-T", "-C", *options, *named)
    return Place(named[-1], argv, PYTHONS, shares=False, explain=_explain)


def _explain(status: int, said: str) -> tuple[str, str] | None:
    """What ssh says of a failure, in one line with a remedy; None where it was not ssh that failed."""
    if status != FAILED:
        return None
    line = said.splitlines()[-1] if said else "it says nothing"
    remedy = "log in there with ssh by hand first"
    if re.search(r"Permission denied|Host key verification failed", said):
        remedy = "ssh must get in without asking: put a key there, and log in once by hand"
    return (line.strip() if line.startswith("ssh: ") else f"ssh failed: {line.strip()}"), remedy
