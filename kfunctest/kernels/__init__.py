# SPDX-License-Identifier: GPL-2.0-only
"""From what was asked for (``--kernel SPEC``) to a kernel that boots: :func:`kfunctest.kernels.spec.resolve`."""
