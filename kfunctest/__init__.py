# SPDX-License-Identifier: GPL-2.0-only
"""kfunctest: judge a kernel's memcg BPF kfuncs by running them."""
