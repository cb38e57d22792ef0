# SPDX-License-Identifier: GPL-2.0-only
"""The kernel that a machine runs, as the machine itself describes it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from kfunctest import cache
from kfunctest.kernels import config, facts
from kfunctest.kernels.model import Kernel

#: How ``--kernel`` names it.
SPEC: Final = "running"


def kernel(survey: Mapping[str, Any], where: str) -> Kernel:
    """The kernel of the machine that gave this ``survey`` (kfunctest.guest.survey, whole); ``where`` names the machine.

    Its ``image`` is a file over there. Raises SpecError when such a kernel cannot be judged.
    """
    release, btf, text = str(survey["release"]), bytes(survey["btf"]), survey["config"]
    options = None if text is None else config.parse(text)
    found = facts.of_btf(btf, f"the kernel of {where}")
    config.require(release, options, found)
    return Kernel(
        spec=SPEC,
        release=release,
        image=Path(survey["image"] or "/dev/null"),
        image_digest=cache.digest(release, btf),
        modules=None,
        origin=f"the kernel that {where} runs",
        resolved=None,
        config=options,
        facts=found,
    )
