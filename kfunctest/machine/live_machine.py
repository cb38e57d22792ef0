# SPDX-License-Identifier: GPL-2.0-only
"""A machine that goes on living, with an agent on it: this one (``local.py``) or another one (``ssh.py``).

The agent and all that it imports are sent as text and run from memory; nothing is installed there. Its sweeper
(``kfunctest/guest/remote_agent.py``) leaves the machine as it was, whoever dies first.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import execnet

from kfunctest.errors import InfraError, KfunctestError, SpecError
from kfunctest.guest import cgroup, survey
from kfunctest.kernels.model import Kernel
from kfunctest.machine.accelerator import EMULATED, Accelerator
from kfunctest.machine.bundle import GUEST
from kfunctest.machine.channel import ChannelEnded, ChannelSilent, Pipes, Requests
from kfunctest.machine.console import Console
from kfunctest.machine.vm import Vm

#: Seconds until the agent must have said its first byte, a slow network and an emulated machine (60 s were seen on a
#: busy one) included.
CONNECT_SECONDS = 180.0
#: Seconds for the survey: BTF is 5 to 10 MB, over whatever network.
SURVEY_SECONDS = 120.0
#: Seconds until the far side must be gone: kfunctest.guest.remote_agent.LEAVE_SECONDS for its cgroups, and some.
END_SECONDS = 30.0
#: The statuses of the command that looks for an interpreter, and of the sweeper (kfunctest.guest.remote_agent.LEFT).
NO_PYTHON, NO_ROOT, LEFT = 90, 91, 92

#: What the interpreter over there is told: read a program, whose length comes first, and run it.
STUB = "import sys;i=sys.stdin.buffer;exec(i.read(int(i.readline())))"
#: POSIX shell. $1: interpreters to try, in order; an ordinary user takes the way through sudo.
START = (
    "for p in {pythons}; do "
    '"$p" -c "import sys;sys.exit(sys.version_info<(3,11))" 2>/dev/null && break; p=; done; '
    f'[ "$p" ] || exit {NO_PYTHON}; '
    f'[ "$(id -u)" = 0 ] || sudo -n true || exit {NO_ROOT}; '
    '[ "$(id -u)" = 0 ] && s= || s="sudo -n"; '
    f'exec $s "$(command -v "$p")" -I -S -u -c "{STUB}"'
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where an agent is started: ``argv`` starts a shell there that runs the words added to it.

    ``name`` is what a message calls the place, ``pythons`` the interpreters to try, ``shares`` whether it has our
    files.
    """

    name: str
    argv: tuple[str, ...]
    pythons: tuple[str, ...]
    shares: bool
    #: What a failed start may be told of: from the status and what was written to stderr to a problem and a remedy.
    explain: Callable[[int, str], tuple[str, str] | None] = field(default=lambda _status, _said: None)


def native(place: Place) -> Accelerator:
    """What stands for an accelerator where there is no VM.

    How fast somebody else's machine is, nobody says; a late deadline costs nothing where all is well.
    """
    return Accelerator("native", f"{place.name}, no VM", EMULATED)


class Machine(Vm):
    """The kernel that a place runs: what a VM is to a test, less a console, and with files that are to be shipped."""

    def __init__(self, kernel: Kernel, place: Place, requests: Requests, console: Console, prefix: str) -> None:
        super().__init__(kernel, native(place), requests, console)
        #: What the names of cgroups begin with on a machine that has others.
        self.prefix = prefix
        self._place = place
        self._there: dict[Path, str] = {}

    def file(self, path: Path) -> str:
        """See :meth:`kfunctest.machine.interface.Target.file`: over ssh it is sent, once."""
        if self._place.shares or path == self.kernel.image:
            return str(path)
        if path not in self._there:
            name = f"{len(self._there)}-{path.name}"
            folder = f"{self.prefix}files"
            self._there[path] = self.call_within(SURVEY_SECONDS, survey.receive, folder, name, path.read_bytes())
        return self._there[path]


@contextmanager
def opened(kernel: Kernel, place: Place, console: Console, say: Callable[[KfunctestError], None]) -> Iterator[Machine]:
    """The machine, with an agent on it; what it used is gone on leaving, and ``say`` is told where it is not.

    ``console`` gets what the far side writes beside the channel. Raises InfraError when it cannot be reached or is
    unfit, SpecError when it runs another kernel than it did.
    """
    prefix = f"kfunctest-{secrets.token_hex(4)}-"
    with _gateway(place, prefix, console, say) as gateway:
        about = _survey(gateway, place, whole=False)
        requests = Requests(gateway.remote_exec("from kfunctest.guest import agent\nagent.serve(channel)"))
        try:
            machine = Machine(kernel, place, requests, console, prefix)
        except (ChannelEnded, ChannelSilent) as error:
            raise InfraError(f"{place.name} does not answer ({error})", evidence=console.tail()) from None
        if about["release"] != kernel.release or machine.btf_size != kernel.facts.btf_size:
            raise SpecError(f"{place.name} ran {kernel.release} and now runs {about['release']}", remedy="start again")
        # As in a VM of ours: what the agent uses itself is charged to nobody.
        machine.call(cgroup.write, "", "cgroup.procs", "0")
        yield machine


def surveyed(place: Place) -> dict[str, Any]:
    """What the place says of itself, its kernel's BTF and configuration among it (kfunctest.guest.survey).

    Raises InfraError when it cannot be reached or is unfit.
    """
    with ExitStack() as stack:
        said = Console(Path(stack.enter_context(NamedTemporaryFile(prefix="kfunctest-")).name))
        gateway = stack.enter_context(_gateway(place, f"kfunctest-{secrets.token_hex(4)}-", said, _ignore))
        return _survey(gateway, place, whole=True)


def _ignore(_error: KfunctestError) -> None:
    """Nothing was made that could be left."""


def _survey(gateway: execnet.Gateway, place: Place, *, whole: bool) -> dict[str, Any]:
    asked = gateway.remote_exec(f"from kfunctest.guest import survey\nchannel.send(survey.survey({whole}))")
    try:
        found: dict[str, Any] = asked.receive(SURVEY_SECONDS)
    except (asked.TimeoutError, EOFError, asked.RemoteError) as error:
        raise InfraError(f"{place.name} does not say what it is ({str(error) or 'no answer'})") from None
    if found["unfit"]:
        raise InfraError(f"{place.name} cannot be judged: {found['unfit']}")
    return found


@contextmanager
def _gateway(place: Place, prefix: str, console: Console, say: Callable[[KfunctestError], None]) -> Iterator[Any]:
    start = START.format(pythons=" ".join(place.pythons))
    # What ssh, sudo and the interpreter have to say is evidence, and not for the terminal.
    argv = ["/bin/sh", "-c", 'log=$1; shift; exec "$@" 2>>"$log"', "sh", str(console.path), *place.argv, start]
    group = execnet.Group()
    io = Pipes(argv, group.execmodel)
    late = threading.Event()

    def give_up() -> None:
        late.set()
        io.kill()

    watch = threading.Timer(CONNECT_SECONDS, give_up)
    watch.start()
    try:
        gateway = _connected(group, io, program(prefix))
    finally:
        watch.cancel()
    if gateway is None:
        status = io.wait() or 0
        if late.is_set():
            raise InfraError(f"{place.name} gave no agent within {CONNECT_SECONDS:g} s", evidence=console.text())
        raise _no_start(place, status, console)
    try:
        yield gateway
    finally:
        group.terminate(timeout=END_SECONDS)
        if io.popen.poll() == LEFT:
            say(InfraError(f"on {place.name} something was left behind", evidence=console.tail()))


def _connected(group: execnet.Group, io: Pipes, sent: bytes) -> execnet.Gateway | None:
    """Send the program, then do what Group.makegateway does; None when the far side ended instead."""
    spec = execnet.XSpec(f"popen//id=agent//execmodel={group.remote_execmodel.backend}")
    try:
        io.write(b"%d\n%b" % (len(sent), sent))
        first = io.read(1)
    except (OSError, EOFError):
        first = b""
    if first != b"1":
        io.kill()
        io.close_write()
        io.close_read()
        return None
    made = execnet.Gateway(io, spec)
    made.spec = spec
    group._register(made)  # noqa: SLF001
    return made


def _no_start(place: Place, status: int, console: Console) -> InfraError:
    said = console.text().strip()
    problem, remedy = place.explain(status, said) or (f"no agent on {place.name} (status {status})", "")
    if status == NO_PYTHON:
        problem, remedy = f"{place.name} has no Python 3.11 or newer", "install python3 there"
    elif status == NO_ROOT:
        problem = f"on {place.name} we are not root, and sudo asks for a password"
        remedy = "log in as root, or allow sudo without a password"
    above = "\n".join(line for line in said.splitlines() if line.strip() not in problem)
    return InfraError(problem, remedy=remedy, evidence=above)


def program(prefix: str) -> bytes:
    """What the far side runs: kfunctest/guest/remote_agent.py with every module that it may be asked for."""
    origin = "kfunctest/guest"
    modules = {
        # The packages around what is needed there import the host's whole side; empty ones serve.
        "execnet": (True, "execnet", ""),
        "execnet.gateway_base": (False, "execnet/gateway_base.py", _source(Path(execnet.__file__).parent)),
        "kfunctest": (True, "kfunctest", ""),
    }
    for path in sorted(GUEST.glob("*.py")):
        name = "" if path.stem == "__init__" else f".{path.stem}"
        modules[f"kfunctest.guest{name}"] = (not name, f"{origin}/{path.name}", path.read_text())
    return f"{(GUEST / 'remote_agent.py').read_text()}\n\nmain({modules!r}, {prefix!r})\n".encode()


def _source(package: Path) -> str:
    return (package / "gateway_base.py").read_text()
