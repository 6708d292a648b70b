"""A project folder with a migrated application of its own, and `tenantry` called in this process."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest
from click.testing import CliRunner, Result

from host.cache.embedded import EmbeddedRedis
from host.cli.program import tenantry as program

ROOT = Path(__file__).parents[2]
BACKENDS = ["sqlite", *(["postgres"] if os.environ.get("TEST_DATABASE_URL") else [])]


@dataclass
class Tenantry:
    """The command line in one project folder."""

    folder: Path
    data: Path
    database_url: str = ""

    def enter(self, patch: pytest.MonkeyPatch) -> None:
        """Go into the folder, with no setting in the environment but the database."""
        for name in os.environ:
            if name.startswith("TENANTRY_") or name in ("PORT", "DATABASE_URL", "REDIS_URL"):
                patch.delenv(name)
        if self.database_url:
            patch.setenv("DATABASE_URL", self.database_url)
        patch.chdir(self.folder)

    def run(self, *arguments: str, typed: str | None = None) -> Result:
        """Call it as a person does."""
        return CliRunner().invoke(program, arguments, input=typed)

    def __call__(self, *arguments: str, code: int = 0) -> Any:
        """Call it with --json, check the exit code, and return `data` of a success or `error` of a failure."""
        done = self.run(*arguments, "--json")
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == code, f"{arguments}: {done.exit_code}\n{done.output}"
        document = json.loads(done.stdout)
        assert document["success"] is (code == 0)
        return document["data"] if "data" in document else document["error"]


def make_project(folder: Path) -> Path:
    """A folder with the shipped configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(ROOT / "config", folder / "config")
    shutil.copy(ROOT / "plugins.toml", folder / "plugins.toml")
    return folder


@pytest.fixture(scope="module", params=BACKENDS)
def deployment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tenantry]:
    """A migrated application, one for all tests of a module; its Redis stays up between commands."""
    folder = make_project(tmp_path_factory.mktemp("project"))
    made = Tenantry(folder, folder / ".tenantry")
    redis = EmbeddedRedis(made.data / "redis")
    asyncio.run(_started(redis))
    with pytest.MonkeyPatch.context() as patch, _database(request.param) as url:
        made.database_url = url
        made.enter(patch)
        made("migrate")
        yield made
    asyncio.run(redis.stop())


@pytest.fixture
def tenantry(deployment: Tenantry, monkeypatch: pytest.MonkeyPatch) -> Tenantry:
    """`tenantry`, called inside the deployment's folder with no setting in the environment but its database."""
    deployment.enter(monkeypatch)
    return deployment


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tenantry:
    """A project folder in which nothing was ever started."""
    made = Tenantry(make_project(tmp_path / "project"), tmp_path / "project" / ".tenantry")
    made.enter(monkeypatch)
    return made


@contextmanager
def _database(backend: str) -> Iterator[str]:
    """The URL of an empty database, dropped afterwards; "" stands for the embedded one."""
    if backend == "sqlite":
        yield ""
        return
    name = f"tenantry_test_{uuid4().hex[:12]}"
    asyncio.run(_administer(f'CREATE DATABASE "{name}"'))
    try:
        yield urlsplit(os.environ["TEST_DATABASE_URL"])._replace(path=f"/{name}").geturl()
    finally:
        asyncio.run(_administer(f'DROP DATABASE "{name}" WITH (FORCE)'))


async def _administer(statement: str) -> None:
    connection = await asyncpg.connect(os.environ["TEST_DATABASE_URL"])
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def _started(redis: EmbeddedRedis) -> None:
    await redis.start()
