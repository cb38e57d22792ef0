# SPDX-License-Identifier: GPL-2.0-only
"""scripts/bench kfunc: what reading a memcg's statistics costs through the kfuncs and through memory.stat."""
