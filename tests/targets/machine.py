# SPDX-License-Identifier: GPL-2.0-only
"""A machine that runs a kernel with the kfuncs: a VM, in which the suite itself is run as on anybody's machine."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

from kfunctest import bpfbuild, proc
from kfunctest.kernels import spec
from kfunctest.machine import accelerator, vm
from tests.targets.suite import CHECKOUT, KERNEL, SECONDS

#: What is listed before and after a run: cgroups, processes, BPF objects, files, the root cgroup's controllers.
TRACES = """
import os
import sys
sys.path.insert(0, {checkout!r})
from kfunctest.guest.libbpf_abi import library
import ctypes
lib = ctypes.CDLL("libbpf.so.1")
def ids(name):
    found, at = [], ctypes.c_uint(0)
    while getattr(lib, name)(at.value, ctypes.byref(at)) == 0:
        found.append(at.value)
    return found
for name in ("bpf_prog_get_next_id", "bpf_map_get_next_id", "bpf_link_get_next_id"):
    print(name, len(ids(name)))
for folder, _, _ in os.walk("/sys/fs/cgroup"):
    print(folder)
print(open("/sys/fs/cgroup/cgroup.subtree_control").read().split())
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        said = open("/proc/" + pid + "/cmdline", "rb").read().replace(b"\\0", b" ").decode()
    except OSError:
        continue
    if said and int(pid) != os.getpid():
        print("process", said[:60])
print("/run", sorted(name for name in os.listdir("/run") if name.startswith("kfunctest")))
"""


def run(folder: Path, script: str) -> str:
    """Run a shell script as root in a VM that shares ``folder``, and return what it wrote. Fails where it fails."""
    for source in sorted((CHECKOUT / "selftests" / "bpf").glob("*.bpf.c")):
        bpfbuild.build(source)  # under emulation clang would take minutes; the guest sees our cache
    kernel = spec.resolve(KERNEL)
    (folder / "traces.py").write_text(TRACES.format(checkout=str(CHECKOUT)))
    # What a developer's shell does at each login takes minutes under emulation (pyenv), and is no part of this.
    plain = "[ ! -e ~root/.bashrc ] || mount --bind /dev/null ~root/.bashrc"
    body = ["set -u", "exec 2>&1", plain, f"cd {shlex.quote(str(CHECKOUT))}", script, "echo the-script-ended"]
    (folder / "script").write_text("\n".join(body) + "\n")
    argv = vm.command(kernel.image, accelerator.choose(), vm.Shape(memory="3G"))
    argv += ["--rwdir", str(folder), "--", f"sh {shlex.quote(str(folder / 'script'))} >{folder}/output"]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin:/sbin"  # vng starts its parts by name
    done = proc.run(argv, seconds=SECONDS, stdin="", env={"PATH": path}, check=False)
    output = (folder / "output").read_text() if (folder / "output").exists() else ""
    assert "the-script-ended" in output, f"{output}\n{done.stderr[-6000:]}"
    return output
