# SPDX-License-Identifier: GPL-2.0-only
"""The pytest plugin: hooks, what they need, and the keys under which a run's and a test's state are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from kfunctest.plugin.record import Recorder, Reporter
    from kfunctest.plugin.session import Session

SESSION: pytest.StashKey[Session] = pytest.StashKey()
RECORD: pytest.StashKey[Recorder | Reporter] = pytest.StashKey()
#: Under which key a worker of pytest-xdist leaves what was seen after its tests.
BETWEEN = "kfunctest_between"
#: The same for what it could not look for.
DOUBTS = "kfunctest_doubts"
