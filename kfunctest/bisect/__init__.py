# SPDX-License-Identifier: GPL-2.0-only
"""Which commit, or which patch of a series, changed what the suite says of a kernel."""
