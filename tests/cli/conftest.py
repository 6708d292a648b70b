"""A project folder with a migrated house of its own, and `tenantry` called in this process."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog
from click.testing import CliRunner, Result

from host.cache.embedded import EmbeddedRedis
from host.cli.program import tenantry as program

ROOT = Path(__file__).parents[2]


@dataclass
class Tenantry:
    """The command line in one project folder."""

    folder: Path
    data: Path

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


@pytest.fixture(autouse=True)
def quiet_logging() -> Iterator[None]:
    """Commands set logging up for their process; here it is put back."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("host.registry").setLevel(logging.NOTSET)
    structlog.reset_defaults()


def make_project(folder: Path) -> Path:
    """A folder with the shipped configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(ROOT / "config", folder / "config")
    shutil.copy(ROOT / "plugins.toml", folder / "plugins.toml")
    return folder


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tenantry]:
    """A migrated house, one for all tests of a module; its Redis stays up between commands."""
    folder = make_project(tmp_path_factory.mktemp("project"))
    made = Tenantry(folder, folder / ".tenantry")
    redis = EmbeddedRedis(made.data / "redis")
    asyncio.run(_started(redis))
    with _Inside(folder):
        made("migrate")
    yield made
    asyncio.run(redis.stop())


@pytest.fixture
def tenantry(deployment: Tenantry, monkeypatch: pytest.MonkeyPatch) -> Tenantry:
    """`tenantry`, called inside the deployment's folder with no setting in the environment."""
    _bare(monkeypatch)
    monkeypatch.chdir(deployment.folder)
    return deployment


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tenantry:
    """A project folder in which nothing was ever started."""
    _bare(monkeypatch)
    folder = make_project(tmp_path / "project")
    monkeypatch.chdir(folder)
    return Tenantry(folder, folder / ".tenantry")


async def _started(redis: EmbeddedRedis) -> None:
    await redis.start()


def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("TENANTRY_") or name in ("PORT", "DATABASE_URL", "REDIS_URL"):
            monkeypatch.delenv(name)


class _Inside:
    """The working directory for a block; module fixtures cannot have monkeypatch."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.before = folder, Path.cwd()

    def __enter__(self) -> None:
        os.chdir(self.folder)

    def __exit__(self, *_: object) -> None:
        os.chdir(self.before)
