"""Bundled plugins are tested in a whole application, on each database."""

from __future__ import annotations

from typing import Any

import pytest

from host.testing import TwoTenants


@pytest.fixture
def acme(two_tenants: TwoTenants) -> Any:
    """The owner's client of the first tenant."""
    return two_tenants.acme
