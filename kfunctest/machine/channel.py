# SPDX-License-Identifier: GPL-2.0-only
"""Requests to the agent, over an execnet channel: typed on the host, with a deadline each."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import execnet
from execnet import gateway_io

from kfunctest.errors import GuestError

P = ParamSpec("P")
R = TypeVar("R")

GUEST_PACKAGE = "kfunctest.guest."
#: Bytes that a message to us may have: BTF and a verifier's logs have some 10 MB.
LONGEST = 64 << 20


class ChannelEnded(Exception):
    """The other end is gone."""


class ChannelSilent(Exception):
    """No answer within the deadline."""


class Pipes(gateway_io.Popen2IOMaster):
    """The pipes to whatever started an agent, of which execnet reads and writes its messages."""

    def read(self, numbytes: int) -> bytes:
        """Bytes of a message. Raises EOFError for one that no agent sends.

        Rubbish that reads as a length would be waited for, and look like a kernel that does not answer.
        """
        if not 0 <= numbytes <= LONGEST:
            raise EOFError(f"a message of {numbytes} bytes is announced")
        content: bytes = super().read(numbytes)
        return content

    def kill(self) -> None:
        """Ask it to end: killed, as execnet would after a second, it could not sweep up, or take its VM with it."""
        self.popen.terminate()


class Requests:
    """One execnet channel to ``kfunctest.guest.agent.serve``. Not thread-safe: one request is under way at a time."""

    def __init__(self, channel: execnet.Channel) -> None:
        self._channel = channel
        self._numbers = itertools.count(1)

    def hello(self, seconds: float) -> dict[str, object]:
        """The agent's first message: facts about the machine it runs on. ``seconds`` is the deadline."""
        hello = self._receive(seconds)
        assert isinstance(hello, dict)
        return hello

    def call(self, seconds: float, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run ``function`` in the guest, in ``seconds``. Raises GuestError, ChannelEnded or ChannelSilent."""
        module = function.__module__
        if not module.startswith(GUEST_PACKAGE):
            raise TypeError(f"{module}.{function.__qualname__} does not live in {GUEST_PACKAGE[:-1]}")
        number = next(self._numbers)
        try:
            self._channel.send((number, module, function.__qualname__, list(args), dict(kwargs)))
        except OSError as error:
            raise ChannelEnded(str(error)) from error
        answer = self._answer(number, seconds)
        if answer[1]:
            value: R = answer[2]
            return value
        kind, message, traceback, errno, log = answer[2]
        raise GuestError(kind, message, traceback, errno, log)

    def _answer(self, number: int, seconds: float) -> tuple[Any, ...]:
        """The answer to request ``number``. Those to earlier ones, that Ctrl-C kept us from receiving, are dropped."""
        deadline = time.monotonic() + seconds
        while True:
            answer = self._receive(max(0.0, deadline - time.monotonic()))
            assert isinstance(answer, tuple)
            if answer[0] == number:
                return answer

    def _receive(self, seconds: float) -> object:
        try:
            return self._channel.receive(seconds)
        except self._channel.TimeoutError:
            raise ChannelSilent(f"no answer within {seconds:.3g} s") from None
        except EOFError as error:
            raise ChannelEnded("the channel ended") from error
        except self._channel.RemoteError as error:
            raise ChannelEnded(f"the agent stopped: {error}") from error
