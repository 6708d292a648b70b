"""The second wall between tenants: what the database itself refuses, put up and checked against its catalogue.

PostgreSQL: row-level security on every tenant table, composite foreign keys, a serving role that owns nothing.
SQLite: triggers that refuse a link to another tenant's row and a change of tenant.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tortoise.models import Model

from host.data import walls_postgres, walls_sqlite
from host.data.database import Client, Database
from host.data.postgres_pool import PostgresClient
from host.data.wall_parts import Gap


async def secure(database: Database, models: Iterable[type[Model]] | None = None) -> list[str]:
    """Put up every wall that is missing, as the tables' owner; returns what was missing.

    models: those whose tables exist; None for all registered ones. Safe to repeat: what stands is not touched.
    """
    async with database.owner() as client:
        return await secure_on(client, database, tuple(models if models is not None else database.models()))


async def secure_on(client: Client, database: Database, models: Sequence[type[Model]]) -> list[str]:
    """As `secure`, on an owner's connection that is open already."""
    if isinstance(client, PostgresClient) and database.one_login:
        await walls_postgres.ensure_role(client, database.serving_login())
    found = await _gaps(client, database, models)
    remedies = [gap.remedy for gap in found if gap.remedy]
    if remedies:
        async with client._in_transaction() as transaction:
            for remedy in remedies:
                await transaction.execute_query(remedy)
    return [gap.complaint for gap in found]


async def check(database: Database, models: Iterable[type[Model]] | None = None) -> list[str]:
    """Read the catalogue and name every gap; empty when the walls stand."""
    return [gap.complaint for gap in await gaps(database, models)]


async def gaps(database: Database, models: Iterable[type[Model]] | None = None) -> list[Gap]:
    """As `check`, each gap with its remedy: `secure` mends those that have one."""
    async with database.owner() as client:
        return await _gaps(client, database, tuple(models if models is not None else database.models()))


async def _gaps(client: Client, database: Database, models: Sequence[type[Model]]) -> list[Gap]:
    if isinstance(client, PostgresClient):
        return await walls_postgres.gaps(client, models, database.serving_login())
    return await walls_sqlite.gaps(client, models)
