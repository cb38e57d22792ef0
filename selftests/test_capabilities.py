# SPDX-License-Identifier: GPL-2.0-only
"""Who may load a program that calls the kfuncs: CAP_BPF is enough for the kfuncs themselves, and nothing less is.

The type of the program asks for more where it always does: CAP_NET_ADMIN for packets, CAP_PERFMON for tracing.
"""

from __future__ import annotations

import errno

import pytest

from kfunctest.errors import GuestError
from kfunctest.guest import load_with_capabilities
from kfunctest.machine.bpf import Bpf
from kfunctest.machine.vm import Vm
from kfunctest.plugin.applicable import needs

pytestmark = pytest.mark.kfunc(name="verifier")

SOURCE = "cap_bpf.bpf.c"
#: The kernel's words for a program of an unprivileged user that calls a function (add_subprog_and_kfunc).
UNPRIVILEGED = "functions are allowed for CAP_BPF and CAP_SYS_ADMIN"

#: What the loader has, and the errno for each type of program: 0 where it is accepted.
LOADERS = {
    ("CAP_BPF",): {"bpf_syscall": 0, "bpf_socket": 0, "bpf_tc": errno.EPERM, "bpf_tp_btf": errno.EPERM},
    ("CAP_BPF", "CAP_NET_ADMIN"): {"net_tc": 0},
    ("CAP_BPF", "CAP_PERFMON"): {"perfmon_tp_btf": 0},
    (): {"nothing_syscall": errno.EPERM, "nothing_socket": errno.EPERM, "nothing_tc": errno.EPERM},
}


@pytest.mark.slow_boot
def test_cap_bpf_is_enough_and_nothing_less_is(vm: Vm, bpf: Bpf) -> None:
    asked = {program: held for held, programs in LOADERS.items() for program in programs}
    seen = bpf.loaded_with(SOURCE, asked)
    expected = {program: number for programs in LOADERS.values() for program, number in programs.items()}
    found = {program: verdict.errno for program, verdict in seen.items()}
    logs = "\n".join(f"{program}: {verdict.log}" for program, verdict in seen.items() if verdict.log)
    assert found == expected, (
        f"errno by program, the loader's capabilities in {asked}: {expected}, seen {found}\n{logs}"
    )


@pytest.mark.slow_boot
def test_unprivileged_users_may_not_call_kfuncs_even_where_they_may_load(vm: Vm, bpf: Bpf) -> None:
    """With kernel.unprivileged_bpf_disabled=0 anyone loads socket filters, but none that calls a kfunc."""
    try:
        before = vm.call(load_with_capabilities.unprivileged, 0)
    except GuestError as error:
        needs(error.errno != errno.EPERM, "kernel.unprivileged_bpf_disabled is 1, for this boot")
        raise
    try:
        seen = bpf.loaded_with(SOURCE, {"nothing_socket": ()})["nothing_socket"]
    finally:
        vm.call(load_with_capabilities.unprivileged, before)
    assert seen.errno == errno.EPERM, f"a socket filter of nobody: expected EPERM, seen {seen}"
    assert UNPRIVILEGED in seen.log, f"a socket filter of nobody: expected {UNPRIVILEGED!r}, seen {seen.log!r}"
