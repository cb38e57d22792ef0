# SPDX-License-Identifier: GPL-2.0-only
"""Runs in the VM. Imports only the standard library and itself."""
