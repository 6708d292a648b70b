"""The fixtures: `house`, a running application in this process; `neighbours`, two tenants in it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from host.settings import Settings, load
from host.testing.neighbours import Neighbours, TestHouse


@pytest.fixture
def house_settings(tmp_path: Path) -> Settings:
    """The settings of the project under test, on the embedded default in a folder of its own; override at will."""
    root = Path.cwd()
    file = root / "config" / "settings.toml"
    return load(file, {"TENANTRY_DATA__DIR": str(tmp_path / "data")}, plugin_ids=None)


@pytest_asyncio.fixture
async def house(house_settings: Settings) -> AsyncIterator[TestHouse]:
    """A running application, migrated, with jobs run when the test says so (`await house.run_jobs()`)."""
    async with TestHouse.open(house_settings) as opened:
        yield opened


@pytest_asyncio.fixture
async def neighbours(house: TestHouse) -> AsyncIterator[Neighbours]:
    """Two tenants, acme and globex, each with an owner, an administrator, a member and a viewer."""
    async with Neighbours.move_in(house) as both:
        yield both
