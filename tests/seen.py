# SPDX-License-Identifier: GPL-2.0-only
"""Prints what a program sees that the scripts start: its environment, and what Python made of that."""

from __future__ import annotations

import json
import os
import site
import sys

if __name__ == "__main__":
    flags = {name: getattr(sys.flags, name) for name in ("optimize", "inspect", "safe_path", "dont_write_bytecode")}
    seen = {"environ": dict(os.environ), "flags": flags, "user": site.ENABLE_USER_SITE, "prefix": sys.prefix}
    print(json.dumps({**seen, "path": sys.path, "argv": sys.argv[1:]}))  # noqa: T201
