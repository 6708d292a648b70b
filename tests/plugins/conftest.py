"""Bundled plugins are tested in a whole house, on each database; `heard` holds the events that were announced."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from host.contracts import Event
from host.jobs.catalog import JobDraft
from host.settings import Settings, load
from host.testing import Neighbours, TestHouse, house, neighbours

__all__ = ["house", "neighbours"]

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def house_settings(new_place: Callable[[], Awaitable[Mapping[str, Any]]], tmp_path: Path) -> Settings:
    place = await new_place()
    environment = {
        "TENANTRY_DATA__DIR": str(tmp_path / "data"),
        "DATABASE_URL": place.get("url", ""),
        "TENANTRY_RATES__AUTHENTICATED": "100000/minute",
    }
    return load(ROOT / "config" / "settings.toml", environment, plugin_ids=None)


@pytest.fixture
def heard(house: TestHouse) -> Iterator[list[Event]]:
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
def acme(neighbours: Neighbours) -> Any:
    """The owner's client of the first tenant."""
    return neighbours.acme
