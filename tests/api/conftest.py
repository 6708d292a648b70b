"""Tests of the host's own endpoints run against a whole application, on each database, over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from host.testing import Client, TestApplication


@pytest.fixture
async def visitor(application: TestApplication) -> AsyncIterator[Client]:
    """Somebody without an account, with a cookie jar of their own."""
    async with application.client() as client:
        yield client
