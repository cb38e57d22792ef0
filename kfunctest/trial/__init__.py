# SPDX-License-Identifier: GPL-2.0-only
"""Runs of the suite on a kernel, for every command that needs one: how it is called, what it came to, what is kept."""
