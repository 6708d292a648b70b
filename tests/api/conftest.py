"""The host's own resources are tested in a whole house, on each database, over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from host.testing import Client, TestHouse


@pytest.fixture
async def visitor(house: TestHouse) -> AsyncIterator[Client]:
    """Somebody without an account, with a cookie jar of their own."""
    async with house.client() as client:
        yield client
