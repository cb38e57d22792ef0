# SPDX-License-Identifier: GPL-2.0-only
"""The command behind scripts/bench: what the project's own figures are measured by."""
