# SPDX-License-Identifier: GPL-2.0-only
"""Writes every module that the agent needs into one file: ``python3 -I -S freeze.py GATEWAY_BASE > BUNDLE``.

Python looks for a module with about ten file operations, each a round trip to the host over 9p. The agent needs some
seventy modules, so one file that is read once halves its start under TCG. The interpreter that writes the bundle must
be the one that reads it.
"""

from __future__ import annotations

import marshal
import sys

before = set(sys.modules)
sys.path.insert(0, __file__[: -len("/kfunctest/guest/bundle.py")])

from importlib import import_module  # noqa: E402  (needs the path above)
from importlib.util import module_from_spec, spec_from_file_location  # noqa: E402

#: The modules of this package that every run needs.
ROOTS = ("log_markers", "workers", "agent", "prefetch", "background", "cgroup", "bpf", "kmsg", "removal", "verdicts")

spec = spec_from_file_location("execnet.gateway_base", sys.argv[1])
assert spec
assert spec.loader
base = module_from_spec(spec)
sys.modules["execnet.gateway_base"] = base
spec.loader.exec_module(base)
for root in ROOTS:
    import_module(f"kfunctest.guest.{root}")

# The package around gateway_base imports the host's whole side of execnet; an empty one serves here.
bundle = {"execnet": (True, "execnet", compile("", "execnet", "exec"))}
for name, module in sys.modules.items():
    found = getattr(module, "__spec__", None)
    if name in before or not found or not str(found.origin).endswith(".py"):
        continue
    bundle[name] = (found.submodule_search_locations is not None, found.origin, found.loader.get_code(found.name))
sys.stdout.buffer.write(marshal.dumps(bundle))
