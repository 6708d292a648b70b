"""The host's own resources are tested in a whole house, on each database, over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from host.contracts import Event
from host.jobs.catalog import JobDraft
from host.settings import Settings, load
from host.testing import Client, TestHouse, house, neighbours

__all__ = ["house", "neighbours"]

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def house_settings(new_place: Callable[[], Awaitable[Mapping[str, Any]]], tmp_path: Path) -> Settings:
    place = await new_place()
    environment = {
        "TENANTRY_DATA__DIR": str(tmp_path / "data"),
        "DATABASE_URL": place.get("url", ""),
        "TENANTRY_RATES__SIGN_IN": "20/minute",
        "TENANTRY_RATES__PUBLIC": "10000/minute",
    }
    return load(ROOT / "config" / "settings.toml", environment, plugin_ids=None)


@pytest.fixture
def heard(house: TestHouse) -> Iterator[list[Event]]:
    """The events that were announced."""
    events: list[Event] = []
    transactions = house.inner.services.transactions
    jobs_for = transactions._jobs_for

    def listening(event: Event) -> Sequence[JobDraft]:
        events.append(event)
        return jobs_for(event)

    transactions._jobs_for = listening
    yield events
    transactions._jobs_for = jobs_for


@pytest.fixture
async def visitor(house: TestHouse) -> AsyncIterator[Client]:
    """Somebody without an account, with a cookie jar of their own."""
    async with house.client() as client:
        yield client
