# SPDX-License-Identifier: GPL-2.0-only
"""The agent's process in the guest, ``python3 -I -S -u main.py EXECNET``, with the channel on stdin and stdout.

EXECNET is the folder that holds the execnet package. The host's execnet opens with one line of source, which defines a
worker from scratch; here the worker is imported instead, since compiling 60 KB of source costs half a second under TCG.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), sys.argv[1]]

from kfunctest.guest import workers  # noqa: E402  (needs the path above)

# Before execnet starts its threads: a forked child has only the thread that forked.
workers.start_nursery()

from execnet.gateway_base import get_execmodel, init_popen_io, serve  # noqa: E402

sys.stdin.readline()
io = init_popen_io(get_execmodel("main_thread_only"))
io.write(b"1")
serve(io, id="agent")  # type: ignore[arg-type]  # as execnet's own bootstrap does
