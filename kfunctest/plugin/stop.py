# SPDX-License-Identifier: GPL-2.0-only
"""The early end of a whole run, from wherever it is found to be of no use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import pytest
from _pytest.outcomes import Exit  # pytest.exit.Exception, which mypy does not take for a class

from kfunctest.errors import EXIT_INFRA, KfunctestError


class Stop(Exit):
    """The end of the whole run. ``evidence`` is what is shown above the line; ``status`` is pytest's exit status."""

    def __init__(self, line: str, status: int, evidence: str = "") -> None:
        super().__init__(line, status)
        self.line = line
        self.status = status
        self.evidence = evidence


def stop(error: KfunctestError) -> NoReturn:
    """End the run with this error's line and status."""
    raise Stop(str(error), error.exit_status, error.evidence)


def none_of_the_kfuncs(releases: Sequence[str]) -> Stop:
    """A kernel without the kfuncs fails at once: booting it would teach nothing, and a skip would look like a pass."""
    line = (
        f"{', '.join(releases)} {'has' if len(releases) == 1 else 'have'} none of the memcg BPF kfuncs "
        "(no bpf_mem_cgroup_* function in BTF); judge a kernel of 7.0 or newer, or one with the series applied"
    )
    return Stop(line, int(pytest.ExitCode.TESTS_FAILED))


def no_asserts() -> Stop:
    """Python skips the asserts of all files but those of tests: what they would have found would pass."""
    return Stop(
        "Python runs without asserts (-O, PYTHONOPTIMIZE), so nothing can be judged; run it without", EXIT_INFRA
    )
