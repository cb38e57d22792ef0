# SPDX-License-Identifier: GPL-2.0-only
"""What a machine that is no VM of ours says of itself and of its kernel, and how it takes files from the host."""

from __future__ import annotations

import gzip
import os
import sys

from kfunctest.guest import kmsg
from kfunctest.guest.cgroup import ROOT
from kfunctest.guest.libbpf_abi import LibbpfMissing, library
from kfunctest.guest.remote_agent import FILES

#: Bytes that a test maps of a file, and so the least that the file has.
ENOUGH = 4 << 20


def survey(whole: bool) -> dict[str, object]:
    """Facts about the machine: ``unfit`` is why nothing can be judged here, or empty.

    With ``whole`` the kernel's BTF and configuration too, as ``btf`` (bytes) and ``config`` (text, or None).
    """
    about = os.uname()
    found: dict[str, object] = {
        "unfit": unfit(),
        "release": about.release,
        "machine": about.machine,
        "name": about.nodename,
        "python": sys.version.split()[0],
        "cmdline": _read("/proc/cmdline"),
    }
    if whole and not found["unfit"]:
        with open("/sys/kernel/btf/vmlinux", "rb") as file:
            found["btf"] = file.read()
        found["config"] = config(about.release)
        found["image"] = image(about.release)
        found["libbpf"] = ".".join(map(str, library().version))
    return found


def unfit() -> str:
    """Why this machine can judge nothing, in one line that names the remedy; empty where it can."""
    about = os.uname()
    if (about.machine, os.sysconf("SC_PAGE_SIZE")) != ("x86_64", 4096):
        return f"it is {about.machine}; the suite was verified on x86-64 with 4 KiB pages only"
    if os.geteuid() != 0:
        return "the agent must be root there: log in as root, or let sudo ask no password"
    if problem := _no_log():
        return f"its log cannot be read ({problem}): {kmsg.REMEDY}"
    if not os.path.exists("/sys/kernel/btf/vmlinux"):
        return "its kernel has no BTF: build it with CONFIG_DEBUG_INFO_BTF=y"
    if os.path.exists(f"{ROOT}/cgroup.type"):
        return "it is a container, whose root cgroup is not the kernel's: judge its host"
    if "memory" not in _read(f"{ROOT}/cgroup.controllers").split():
        return (
            f"the memory controller of cgroup2 is not to be had at {ROOT}: boot with "
            "systemd.unified_cgroup_hierarchy=1, and without cgroup_disable=memory"
        )
    try:
        library()
    except LibbpfMissing as missing:
        return str(missing)
    return ""


def _no_log() -> str:
    try:
        kmsg.close(kmsg.follow(False)[0])
    except (OSError, kmsg.LogClosed) as error:
        return str(error)
    return ""


def config(release: str) -> str | None:
    """The kernel's configuration, from the kernel itself or from where distributions install it; None without."""
    if os.path.exists("/proc/config.gz"):
        with gzip.open("/proc/config.gz", "rt", errors="replace") as file:
            return file.read()
    build = f"/lib/modules/{release}/build"
    places = [f"/boot/config-{release}", f"/lib/modules/{release}/config"]
    if _read(f"{build}/include/config/kernel.release").strip() in ("", release):  # else make has run there since
        places.append(f"{build}/.config")
    return next((text for place in places if (text := _read(place))), None)


def image(release: str) -> str:
    """A file that no process here has mapped: the kernel's image, or a large program. Empty where there is none."""
    places = [f"/boot/vmlinuz-{release}", f"/lib/modules/{release}/vmlinuz"]
    for folder in ("/boot", "/usr/bin", "/usr/lib/x86_64-linux-gnu", "/usr/lib64"):
        places += sorted(f"{folder}/{name}" for name in _names(folder))
    large = [os.path.realpath(place) for place in places if _size(place) >= ENOUGH]
    used = "".join(_read(f"/proc/{pid}/maps") for pid in _names("/proc") if pid.isdigit()) if large else ""
    return next((place for place in large if place not in used), "")


def receive(folder: str, name: str, content: bytes) -> str:
    """Keep a file of the host's in a folder that the sweeper removes (see far.py), and return its path."""
    os.makedirs(f"{FILES}/{folder}", mode=0o700, exist_ok=True)
    path = f"{FILES}/{folder}/{name}"
    with open(path, "wb") as file:
        file.write(content)
    return path


def _read(path: str) -> str:
    try:
        with open(path, errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _size(path: str) -> int:
    """Bytes of a regular file; 0 for what is none."""
    try:
        return os.stat(path).st_size if os.path.isfile(path) else 0
    except OSError:
        return 0
