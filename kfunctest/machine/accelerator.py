# SPDX-License-Identifier: GPL-2.0-only
"""Which accelerator a VM gets: KVM where it works, else TCG, said aloud.

A /dev/kvm that opens proves nothing: a paravirtual provider (PVM) takes every ioctl and then interprets guest kernel
code, so that a stock kernel never boots on it, and QEMU may print nothing. So a vCPU is put straight into 64-bit ring 0
and counts down, several times over, of which the fastest tells: it was not disturbed.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import mmap
import os
import platform
import select
import signal
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from kfunctest import cache, files
from kfunctest.errors import InfraError

#: One host thread for all vCPUs. With one each, a vCPU may run on in code that another has just patched (a static key),
#: meet the breakpoint of a patch that is over, and take the kernel down while it boots.
ONE_THREAD = "tcg,thread=single"
KVM = Path("/dev/kvm")
LOOPS, TIMES = 50_000, 8
#: Seconds of CPU time that hardware never needs for LOOPS steps (1 cycle each), and that an interpreter always does
#: (2.2 M steps/s were seen). CPU time, since a busy machine stretches the clock on the wall; and the least of TIMES,
#: since in a virtual machine what its host takes away counts as ours.
LIMIT = 0.006
#: Seconds after which the probe's child is given up. The whole answer stays below 3 s.
DEADLINE = 2.0
#: Seconds of CPU time for LOOPS beyond which a KVM is real but slow, such as one nested in an emulated machine.
#: Deadlines are then those of emulation.
BRISK = 0.0002
#: By how much emulation stretches deadlines.
EMULATED = 10

# The ioctl numbers and struct layouts are the kernel's ABI: include/uapi/linux/kvm.h, arch/x86/include/uapi/asm/kvm.h.
KVM_CREATE_VM, KVM_GET_VCPU_MMAP_SIZE, KVM_CREATE_VCPU, KVM_RUN = 0xAE01, 0xAE04, 0xAE41, 0xAE80
KVM_GET_SUPPORTED_CPUID, KVM_SET_CPUID2 = 0xC008AE05, 0x4008AE90
KVM_SET_USER_MEMORY_REGION, KVM_SET_REGS = 0x4020AE46, 0x4090AE82
KVM_GET_SREGS, KVM_SET_SREGS = 0x8138AE83, 0x4138AE84
KVM_EXIT_HLT = 5
#: What a provider that cannot do it says; others, EBUSY and ENOMEM among them, may pass.
LASTING = (errno.EINVAL, errno.ENODEV, errno.ENOTTY, errno.EOPNOTSUPP, errno.EPERM)
CODE_AT, PML4_AT, PDPT_AT = 0x1000, 0x2000, 0x3000
# mov ecx, LOOPS; again: dec ecx; jnz again; hlt
CODE = b"\xb9" + struct.pack("<I", LOOPS) + b"\xff\xc9\x75\xfc\xf4"


@dataclass(frozen=True, slots=True)
class Accelerator:
    """``name`` is ``kvm`` or ``tcg``; ``why`` is one line; deadlines are multiplied by ``slowdown``."""

    name: str
    why: str
    slowdown: int

    @property
    def vng_flags(self) -> tuple[str, ...]:
        """What virtme-ng must be told; left alone it takes any /dev/kvm that opens, with ``-cpu host``."""
        return () if self.name == "kvm" else ("--disable-kvm", f"--qemu-opts=-accel {ONE_THREAD}")


@dataclass(frozen=True, slots=True)
class Verdict:
    """A probe's answer. Only a ``conclusive`` one says the same tomorrow and may be cached.

    ``slowdown`` is by how much a usable KVM stretches deadlines.
    """

    usable: bool
    why: str
    conclusive: bool
    slowdown: int = 1


def choose(forced: str | None = None) -> Accelerator:
    """The accelerator of this machine; ``forced`` (``kvm`` or ``tcg``) needs no probe.

    Raises InfraError when KVM is asked for and cannot be opened: virtme-ng would fall back to TCG and say nothing.
    """
    if forced == "kvm" and not os.access(KVM, os.R_OK | os.W_OK):
        raise InfraError(f"--accel kvm, but {KVM} cannot be opened", remedy="join its group, or use --accel tcg")
    if forced:
        return _accelerator(forced == "kvm", "as asked for", 1)
    verdict = _cached(probe)
    return _accelerator(verdict.usable, verdict.why, verdict.slowdown)


def _accelerator(kvm: bool, why: str, slowdown: int) -> Accelerator:
    return Accelerator("kvm", why, slowdown) if kvm else Accelerator("tcg", why, EMULATED)


def _cached(ask: Callable[[], Verdict]) -> Verdict:
    """The verdict for this boot of this machine: another boot may load another KVM provider."""
    if not os.access(KVM, os.R_OK | os.W_OK):
        return ask()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    key = cache.digest(boot, platform.release(), str(KVM.stat().st_rdev))
    path = cache.root() / "facts" / f"kvm-{key}.json"
    with suppress(OSError, ValueError, TypeError):
        return Verdict(**json.loads(path.read_text()))
    verdict = ask()
    if verdict.conclusive:
        with cache.space_guard():
            path.parent.mkdir(parents=True, exist_ok=True)
            files.write(path, json.dumps(asdict(verdict)))
    return verdict


def probe(count: Callable[[], tuple[int, float]] | None = None) -> Verdict:
    """Ask /dev/kvm to run a few million steps of kernel code, in a child that may be killed.

    ``count`` (for tests) replaces the vCPU: it returns KVM's exit reason and the CPU seconds taken.
    """
    if not KVM.exists():
        return Verdict(False, "there is no /dev/kvm", conclusive=False)
    if not os.access(KVM, os.R_OK | os.W_OK):
        return Verdict(False, "/dev/kvm may not be opened by this user", conclusive=False)
    reason, seconds = _in_child(count or _count_in_a_vcpu)
    if reason is None and seconds < 4 * LIMIT:
        return Verdict(False, f"/dev/kvm gave no answer in {DEADLINE} s", conclusive=False)
    if reason is not None and reason < 0:
        why = f"/dev/kvm refused a 64-bit vCPU ({os.strerror(-reason)})"
        return Verdict(False, why, conclusive=-reason in LASTING)
    if seconds > LIMIT:
        return Verdict(
            False,
            f"/dev/kvm ({_provider()}) interprets kernel code, {LOOPS / seconds / 1e6:.1f} M steps/s: "
            "stock kernels do not boot on it",
            conclusive=seconds > 4 * LIMIT,
        )
    if reason != KVM_EXIT_HLT:
        return Verdict(False, f"/dev/kvm left a trivial 64-bit guest with exit reason {reason}", conclusive=True)
    if seconds > BRISK:
        why = f"/dev/kvm ({_provider()}) runs kernel code, but slowly, {LOOPS / seconds / 1e6:.0f} M steps/s"
        return Verdict(True, why, conclusive=True, slowdown=EMULATED)
    return Verdict(True, f"/dev/kvm ({_provider()}) runs kernel code", conclusive=True)


def _provider() -> str:
    return ", ".join(sorted(path.name for path in Path("/sys/module").glob("kvm_*"))) or "unknown provider"


def _in_child(count: Callable[[], tuple[int, float]]) -> tuple[int | None, float]:
    """Run ``count`` in a forked child, since KVM_RUN may never return.

    Returns its answer, or None and the CPU seconds that it had used when the deadline passed.
    """
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        # Whatever happens, nothing of the parent's clean-up may run in this copy of it.
        try:
            try:
                answer = count()
            except OSError as error:
                answer = (-(error.errno or 1), 0.0)
            os.write(write, struct.pack("<id", *answer))
        finally:
            os._exit(0)
    os.close(write)
    try:
        ready, _, _ = select.select([read], [], [], DEADLINE)
        data = os.read(read, 12) if ready else b""
    finally:
        os.close(read)
        os.kill(child, signal.SIGKILL)
        _, _, usage = os.wait4(child, 0)
    if len(data) == 12:
        reason, seconds = struct.unpack("<id", data)
        return int(reason), float(seconds)
    return None, usage.ru_utime + usage.ru_stime


def _count_in_a_vcpu() -> tuple[int, float]:
    """KVM's exit reason and the CPU seconds that CODE took. Raises OSError where KVM refuses a step."""
    kvm = os.open(KVM, os.O_RDWR | os.O_CLOEXEC)
    vm = fcntl.ioctl(kvm, KVM_CREATE_VM, 0)
    ram = mmap.mmap(-1, 2 << 20)
    address = ctypes.addressof(ctypes.c_char.from_buffer(ram))
    fcntl.ioctl(vm, KVM_SET_USER_MEMORY_REGION, struct.pack("<IIQQQ", 0, 0, 0, len(ram), address))
    # One 2 MiB page, mapped onto itself: PML4 -> PDPT -> page directory, each entry present and writable.
    for at, page_entry in ((PML4_AT, PDPT_AT | 3), (PDPT_AT, 0x4003), (0x4000, 0x83)):
        struct.pack_into("<Q", ram, at, page_entry)
    ram[CODE_AT : CODE_AT + len(CODE)] = CODE
    vcpu = fcntl.ioctl(vm, KVM_CREATE_VCPU, 0)
    # Long mode must be in the guest's CPUID, or EFER.LME is refused.
    cpuid = bytearray(8 + 40 * 256)
    struct.pack_into("<I", cpuid, 0, 256)
    fcntl.ioctl(kvm, KVM_GET_SUPPORTED_CPUID, cpuid, True)
    fcntl.ioctl(vcpu, KVM_SET_CPUID2, cpuid, True)
    run = mmap.mmap(vcpu, fcntl.ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0))
    sregs = bytearray(312)
    fcntl.ioctl(vcpu, KVM_GET_SREGS, sregs, True)
    for index in range(6):  # cs, ds, es, fs, gs, ss: flat, ring 0
        code = index == 0
        selector, kind = (8, 11) if code else (16, 3)
        struct.pack_into("<QIH8B", sregs, 24 * index, 0, 0xFFFFFFFF, selector, kind, 1, 0, not code, 1, code, 1, 0)
    struct.pack_into("<4Q", sregs, 224, 0x80050033, 0, PML4_AT, 0x20)  # cr0, cr2, cr3, cr4
    struct.pack_into("<Q", sregs, 264, 0x500)  # EFER: LME and LMA
    fcntl.ioctl(vcpu, KVM_SET_SREGS, bytes(sregs))
    regs = bytearray(144)
    struct.pack_into("<QQ", regs, 128, CODE_AT, 2)  # rip, rflags
    fcntl.ioctl(vcpu, KVM_SET_REGS, bytes(regs))
    least = float("inf")
    for _ in range(TIMES):
        start = time.process_time()
        fcntl.ioctl(vcpu, KVM_RUN, 0)
        least = min(least, time.process_time() - start)
        fcntl.ioctl(vcpu, KVM_SET_REGS, bytes(regs))
    return int(struct.unpack_from("<I", run, 8)[0]), least
