# SPDX-License-Identifier: GPL-2.0-only
"""Many lives of cgroups in one request, while programs look at them."""

from __future__ import annotations

import os

from kfunctest.guest import bpf, cgroup, workload
from kfunctest.guest.cgroup import ROOT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

#: Bytes that whoever lives in a cgroup for a moment charges to it.
CHARGED = 256 << 10
#: Seconds that its death may take to let go of a cgroup, on the slowest machine.
PATIENCE = 30.0


def live(handle: int, programs: list[str], path: str, lives: int, pairs: int) -> int:
    """Make a cgroup below ``path``, get and put its memcg ``pairs`` times, and remove it: ``lives`` times.

    The programs, of get_put.bpf.c, take turns. Returns how often get returned a memcg.
    """
    got = 0
    for number in range(lives):
        place = f"{path}/{number}"
        fields = {"cgroup_id": cgroup.create(place), "pairs": pairs}
        got += bpf.run(handle, programs[number % len(programs)], "pairs_args", fields)[1]["done"]
        os.rmdir(f"{ROOT}/{place}")
    return got


def make_chain(path: str, depth: int) -> list[int]:
    """Make a cgroup below ``path``, one below that, and so on, each with a memory controller. Returns their ids."""
    identities = []
    for _ in range(depth):
        cgroup.delegate_memory(path)
        path += "/d"
        identities.append(cgroup.create(path))
    return identities


def remove_chain(path: str, depth: int, seconds: float) -> None:
    """Remove what :func:`make_chain` made; its last process may take ``seconds`` to leave."""
    for left in range(depth, 0, -1):
        cgroup.remove(path + "/d" * left, seconds)


def stress(path: str, churners: int, lives: int, run: list[tuple[int, str, dict[str, int]]], links: list[int]) -> int:
    """Have ``churners`` processes make, use and remove ``lives`` cgroups each below ``path``, and read meanwhile.

    That is, ``run`` programs of walk.bpf.c, each with its context, and read iterators, over and over until all is done.
    Returns how often. Raises ChildProcessError when a process of the churn fails, or a program does not return 0.
    """
    pids = [_fork(_churn, f"{path}/c{number}-", lives) for number in range(churners)]
    rounds = 0
    results: list[int] = []
    failed: list[int] = []
    while pids:
        results += [bpf.run(handle, program, "walk_args", fields)[0] for handle, program, fields in run]
        for link in links:
            bpf.read_iterator(link)
        rounds += 1
        for pid in list(pids):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                pids.remove(pid)
                failed += [status] if status else []
    if failed or any(results):
        raise ChildProcessError(f"processes that ended with other than 0: {failed}; programs: {sorted(set(results))}")
    return rounds


def _churn(prefix: str, lives: int) -> None:
    """Each cgroup is removed while it is still pinned by the zombie of who lived in it."""
    for number in range(lives):
        place = f"{prefix}{number}"
        cgroup.create(place)
        pid = _fork(_visit, place)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        cgroup.remove(place, PATIENCE)
        if os.waitpid(pid, 0)[1]:
            raise ChildProcessError(f"who should live in {place} could not")


def _visit(path: str) -> None:
    cgroup.write(path, "cgroup.procs", "0")
    workload.charge_anon(CHARGED)


def _fork(work: Callable[..., None], *args: object) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            work(*args)
        except BaseException:
            os._exit(1)
        os._exit(0)
    return pid
