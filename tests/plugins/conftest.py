"""Bundled plugins are tested in a whole house, on each database."""

from __future__ import annotations

from typing import Any

import pytest

from host.testing import Neighbours


@pytest.fixture
def acme(neighbours: Neighbours) -> Any:
    """The owner's client of the first tenant."""
    return neighbours.acme
