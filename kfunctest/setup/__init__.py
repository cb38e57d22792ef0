# SPDX-License-Identifier: GPL-2.0-only
"""scripts/setup: give this machine what it lacks. Runs under the system's Python, before there is any package."""
