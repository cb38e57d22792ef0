# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's BTF, in a file that is read at once: for a VM of ours, whose mounts are ours.

libbpf reads all of it for each object that it loads, and sysfs hands out a page a call (kernfs_file_read_iter(),
fs/kernfs/file.c): of the loading of a small object under TCG more than half.
"""

from __future__ import annotations

import os

from kfunctest.guest.cgroup import mount

BTF = "/sys/kernel/btf/vmlinux"
_COPY = "/run/kfunctest-btf"
_MS_BIND = 4096


def lay_over() -> None:
    """Cover the file in sysfs by its copy in memory. Does nothing where the kernel has no BTF."""
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
