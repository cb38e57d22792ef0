# SPDX-License-Identifier: GPL-2.0-only
"""Which lines and branches of the kfuncs, and of what they rest on, the suite reaches: scripts/coverage."""
