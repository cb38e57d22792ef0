# SPDX-License-Identifier: GPL-2.0-only
"""What libbpf needs, near at hand before the first test: for a VM of ours, whose mounts and settings are ours."""

from __future__ import annotations

import os
from contextlib import suppress

from kfunctest.guest.cgroup import mount, write_file
from kfunctest.guest.libbpf_abi import LibbpfMissing, library

BTF = "/sys/kernel/btf/vmlinux"
_COPY = "/run/kfunctest-btf"
_MS_BIND = 4096
#: Where the boot lets 9p read ahead (kfunctest/guest/boot/systemd-tmpfiles).
_DEVICES = "/sys/class/bdi"


def cover_btf() -> None:
    """Cover the kernel's BTF by its copy in a file that is read at once. Does nothing where the kernel has none.

    libbpf reads all of it for each object that it loads, and sysfs hands out a page a call (kernfs_file_read_iter(),
    fs/kernfs/file.c): of the loading of a small object under TCG that is more than half.
    """
    try:
        kernels = os.open(BTF, os.O_RDONLY)
    except FileNotFoundError:
        return
    copy = os.open(_COPY, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444)
    try:
        while os.sendfile(copy, kernels, None, 1 << 24):
            pass
    finally:
        os.close(copy)
        os.close(kernels)
    mount(_COPY, BTF, "", _MS_BIND)


def load_libbpf() -> None:
    """Load the library while it comes by the dozen pages. Who needs it is told where there is none."""
    with suppress(LibbpfMissing):
        library()


def stop_reading_ahead() -> None:
    """Of a file that is opened from now on a page that is read is one of page cache: tests count them."""
    for name in os.listdir(_DEVICES):
        if name.startswith("9p-"):
            write_file(f"{_DEVICES}/{name}/read_ahead_kb", "0")
