"""Install row-level security on PostgreSQL or its equivalent on SQLite, and report what is missing.

PostgreSQL: row-level security on every tenant table, composite foreign keys, a serving role that owns nothing.
SQLite: triggers that refuse a link to another tenant's row and a change of tenant.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tortoise.models import Model

from host.data import rls_postgres, rls_sqlite
from host.data.database import Client, Database
from host.data.postgres_pool import PostgresClient
from host.data.rls_parts import Finding


async def secure(database: Database, models: Iterable[type[Model]] | None = None) -> list[str]:
    """Install every missing policy or trigger, as the tables' owner; returns what was missing.

    models: those whose tables exist; None for all registered ones. Safe to repeat: what is installed is left alone.
    """
    async with database.owner() as client:
        return await secure_on(client, database, tuple(models if models is not None else database.models()))


async def secure_on(client: Client, database: Database, models: Sequence[type[Model]]) -> list[str]:
    """As `secure`, on an owner's connection that is open already."""
    if isinstance(client, PostgresClient) and database.one_login:
        await rls_postgres.ensure_role(client, database.serving_login())
    gaps = await _gaps(client, database, models)
    remedies = [finding.remedy for finding in gaps if finding.remedy]
    if remedies:
        async with client._in_transaction() as transaction:
            for remedy in remedies:
                await transaction.execute_query(remedy)
    return [finding.complaint for finding in gaps]


async def check(database: Database, models: Iterable[type[Model]] | None = None) -> list[str]:
    """Read the catalogue and describe every gap; empty when row-level security is complete."""
    return [finding.complaint for finding in await findings(database, models)]


async def findings(database: Database, models: Iterable[type[Model]] | None = None) -> list[Finding]:
    """As `check`, each gap with its remedy: `secure` runs the SQL of those that have one."""
    async with database.owner() as client:
        return await _gaps(client, database, tuple(models if models is not None else database.models()))


async def _gaps(client: Client, database: Database, models: Sequence[type[Model]]) -> list[Finding]:
    if isinstance(client, PostgresClient):
        return await rls_postgres.findings(client, models, database.serving_login())
    return await rls_sqlite.findings(client, models)
