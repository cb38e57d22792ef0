# SPDX-License-Identifier: GPL-2.0-only
"""From a run to the forms that other programs and people read. Pure: a Run in, text out."""
