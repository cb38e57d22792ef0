# SPDX-License-Identifier: GPL-2.0-only
"""Kernels that are wrong on purpose, and whether the suite says so: scripts/mutate, docs/mutations.md."""
