# SPDX-License-Identifier: GPL-2.0-only
"""The pytest plugin: hooks, what they need, and the one key under which a run's state is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from kfunctest.plugin.session import Session

SESSION: pytest.StashKey[Session] = pytest.StashKey()
