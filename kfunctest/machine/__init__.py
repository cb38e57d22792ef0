# SPDX-License-Identifier: GPL-2.0-only
"""Places where a kernel runs and requests are served."""
