# SPDX-License-Identifier: GPL-2.0-only
"""Requests over a real execnet gateway, to an agent on this machine in the place of one in a VM."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import execnet
import pytest
from execnet import gateway_bootstrap, gateway_io

from kfunctest.errors import GuestError
from kfunctest.guest import agent, cgroup
from kfunctest.machine.channel import LONGEST, ChannelEnded, ChannelSilent, Pipes, Requests

CHECKOUT = str(Path(__file__).resolve().parents[1])
SERVE = """
import sys
sys.path.insert(0, {root!r})
from kfunctest.guest import agent, cgroup
cgroup.prepare = lambda: None
agent.serve(channel)
"""


@pytest.fixture
def requests() -> Iterator[Requests]:
    group = execnet.Group()
    gateway = group.makegateway("popen")
    served = Requests(gateway.remote_exec(SERVE.format(root=CHECKOUT)))
    yield served
    group.terminate(timeout=5)


def test_hello_names_the_kernel(requests: Requests) -> None:
    hello = requests.hello(10)
    assert hello["release"] == os.uname().release
    assert hello["page_size"] == os.sysconf("SC_PAGE_SIZE")


def test_a_request_runs_there(requests: Requests) -> None:
    requests.hello(10)
    assert requests.call(5, agent.ping) != os.getpid()
    assert requests.call(5, agent.read_text, "/proc/sys/kernel/ostype") == "Linux\n"


def test_an_error_there_arrives_with_its_traceback(requests: Requests) -> None:
    requests.hello(10)
    with pytest.raises(GuestError) as caught:
        requests.call(5, cgroup.read, "there/is/none", "memory.current")
    assert caught.value.kind == "FileNotFoundError"
    assert caught.value.errno == 2
    assert "in read" in caught.value.traceback
    assert requests.call(5, agent.ping), "the agent must live on"


def test_only_the_guests_functions_are_requests(requests: Requests) -> None:
    with pytest.raises(TypeError, match=r"does not live in kfunctest\.guest"):
        requests.call(5, os.getpid)


def test_an_interrupted_request_does_not_answer_the_next(requests: Requests) -> None:
    """Ctrl-C takes us out of a request; what is asked on the way out must get its own answer."""
    requests.hello(10)
    pid = requests.call(5, agent.ping)
    os.kill(pid, signal.SIGSTOP)  # on a busy machine it may else answer before we ask whether it has
    try:
        with pytest.raises(ChannelSilent):
            requests.call(0, agent.read_text, "/proc/sys/kernel/ostype")
    finally:
        os.kill(pid, signal.SIGCONT)
    assert requests.call(5, agent.read_text, "/proc/sys/kernel/osrelease") == os.uname().release + "\n"


def test_a_dead_agent_ends_the_channel(requests: Requests) -> None:
    requests.hello(10)
    os.kill(requests.call(5, agent.ping), signal.SIGKILL)
    with pytest.raises(ChannelEnded):
        requests.call(5, agent.ping)


def test_a_stopped_agent_is_silent(requests: Requests) -> None:
    requests.hello(10)
    agent_pid = requests.call(5, agent.ping)
    os.kill(agent_pid, signal.SIGSTOP)
    try:
        with pytest.raises(ChannelSilent, match=r"no answer within 0\.2 s"):
            requests.call(0.2, agent.ping)
    finally:
        os.kill(agent_pid, signal.SIGCONT)


@pytest.fixture
def pipes() -> Iterator[execnet.Gateway]:
    """A gateway over the pipes that a VM's agent has."""
    group = execnet.Group()
    spec = execnet.XSpec(f"popen//id=agent//execmodel={group.remote_execmodel.backend}")
    gateway = gateway_bootstrap.bootstrap(Pipes(gateway_io.popen_args(spec), group.execmodel), spec)
    gateway.spec = spec
    group._register(gateway)
    yield gateway
    group.terminate(timeout=5)


#: Writes the head of a message beside all order: its type, the channel that it is for, and the length that follows.
RUBBISH = """
import struct
channel.send(None)
channel.receive()
channel.gateway._io.write(struct.pack("!bii", 4, 1, {length}) + b"rubbish")
channel.receive()
"""


@pytest.mark.parametrize("length", [LONGEST + 1, 0x7FFFFFFF, int.from_bytes(b"ASCI"), -1])
def test_rubbish_that_reads_as_a_length_is_a_broken_channel(pipes: execnet.Gateway, length: int) -> None:
    """Not a silent one: nobody has to wait for two gigabytes in order to know that no agent sends them."""
    channel = pipes.remote_exec(RUBBISH.format(length=length))
    channel.receive(10)
    with pytest.raises(ChannelEnded):
        Requests(channel).call(10, agent.ping)


def test_a_long_answer_is_no_rubbish(pipes: execnet.Gateway) -> None:
    channel = pipes.remote_exec("channel.send(b'x' * channel.receive())")
    channel.send(LONGEST >> 1)
    assert len(channel.receive(20)) == LONGEST >> 1
