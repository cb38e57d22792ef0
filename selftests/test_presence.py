# SPDX-License-Identifier: GPL-2.0-only
"""Which kfuncs a kernel must have. A missing one is a failure, never a skip: a backport that lost one is broken."""

from __future__ import annotations

import pytest

from kfunctest.contract import Contract
from kfunctest.kernels.model import Kernel

pytestmark = pytest.mark.kfunc(name="presence")


def test_every_kfunc_of_the_contract_is_in_btf(kernel: Kernel, contract: Contract) -> None:
    missing = sorted(contract.missing(kernel.facts.kfuncs))
    assert not missing, (
        f"expected all {len(contract.kfuncs)} kfuncs of {contract.name} in the BTF of {kernel.release}, "
        f"missing: {', '.join(missing)}"
    )
