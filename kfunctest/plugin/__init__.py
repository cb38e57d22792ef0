# SPDX-License-Identifier: GPL-2.0-only
"""The pytest plugin: hooks, what they need, and the keys under which a run's and a test's state are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from kfunctest.plugin.session import Session

SESSION: pytest.StashKey[Session] = pytest.StashKey()
#: On a test: what others add to what outcomes.py puts on the report of its phase.
ADDED: pytest.StashKey[dict[str, Any]] = pytest.StashKey()
#: Under which key a worker of pytest-xdist leaves what was seen after its tests.
BETWEEN = "kfunctest_between"
#: The same for what it could not look for.
DOUBTS = "kfunctest_doubts"
#: The key in ADDED of what the kernel said and nobody expected, in one line; it stays off the report.
COMPLAINT = "complaint"
#: The title of the section that shows those of a test which failed anyway.
COMPLAINTS = "the kernel's complaints"
