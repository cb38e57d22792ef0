# SPDX-License-Identifier: GPL-2.0-only
"""Which kfuncs a kernel must have. A missing one is a failure, never a skip: a backport that lost one is broken."""

from __future__ import annotations

import pytest

from kfunctest.contract import ALL, Contract
from kfunctest.kernels.model import Kernel

pytestmark = pytest.mark.kfunc(name="presence")


def test_every_kfunc_of_the_contract_is_in_btf(kernel: Kernel, contract: Contract) -> None:
    missing = sorted(contract.missing(kernel.facts.kfuncs))
    assert not missing, (
        f"expected all {len(contract.kfuncs)} kfuncs of {contract.name} in the BTF of {kernel.release}, "
        f"missing: {', '.join(missing)}"
    )


def test_no_kfunc_of_another_revision_is_in_btf(kernel: Kernel, contract: Contract) -> None:
    """As posted, there is no memory_events: a kernel that has it does not keep the revision that it was declared to."""
    found = sorted(ALL & kernel.facts.kfuncs - contract.kfuncs)
    assert not found, (
        f"expected in the BTF of {kernel.release} only the {len(contract.kfuncs)} kfuncs of {contract.name}, "
        f"seen: {', '.join(found)}"
    )
