# SPDX-License-Identifier: GPL-2.0-only
"""The gate: the suite on a matrix of kernels, and one verdict on all of them."""
