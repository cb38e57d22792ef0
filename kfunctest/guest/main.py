# SPDX-License-Identifier: GPL-2.0-only
"""The agent's process in the guest, ``python3 -I -S -u main.py BUNDLE``, with the channel on stdin and stdout.

BUNDLE is what freeze.py wrote. The host's execnet opens with one line of source, which defines a worker from scratch;
it is read and dropped, since the bundle holds the same worker, compiled.
"""

from __future__ import annotations

import marshal
import sys
from _frozen_importlib import ModuleSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, ModuleType


class Bundle:
    """An importer of the modules in a bundle: name to whether it is a package, its file, and its code."""

    def __init__(self, path: str) -> None:
        with open(path, "rb") as file:
            self._modules: dict[str, tuple[bool, str, CodeType]] = marshal.loads(file.read())

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> object:
        """Python's question for a module."""
        if name not in self._modules:
            return None
        is_package, origin, _ = self._modules[name]
        spec = ModuleSpec(name, self, origin=origin, is_package=is_package)  # type: ignore[arg-type]
        spec.has_location = True
        if is_package:
            # What the bundle lacks is found on the path, as ever.
            spec.submodule_search_locations = [origin.rpartition("/")[0]]
        return spec

    def create_module(self, spec: object) -> None:
        """Python's own way will do."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the module's code."""
        exec(self._modules[module.__name__][2], module.__dict__)


sys.meta_path.insert(0, Bundle(sys.argv[1]))  # type: ignore[arg-type]
sys.path.insert(0, __file__[: -len("/kfunctest/guest/main.py")])

from kfunctest.guest import background, log_markers, prefetch, workers  # noqa: E402  (needs the path above)

# Before execnet starts its threads: a forked child has only the thread that forked.
workers.start_nursery()
with open("/proc/self/comm", "w") as comm:
    comm.write(log_markers.AGENT)
background.put_to_sleep(ours=True)
prefetch.cover_btf()
prefetch.load_libbpf()

from execnet.gateway_base import get_execmodel, init_popen_io, serve  # noqa: E402

prefetch.stop_reading_ahead()
sys.stdin.readline()
io = init_popen_io(get_execmodel("main_thread_only"))
io.write(b"1")
serve(io, id="agent")  # type: ignore[arg-type]  # as execnet's own bootstrap does
