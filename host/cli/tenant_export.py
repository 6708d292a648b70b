"""Export a tenant into a zip archive: one JSON line per row, by table, and its stored files."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
from tortoise.models import Model

from host.app import Application
from host.data.tenant_tables import TenantTable, count_rows, read_rows, refuse_out_of_reach, tenant_tables
from host.secret_settings import without_secrets
from tenants.context import bind
from tenants.models import Membership, Tenant, User
from tenants.scoping import TenantModel

BATCH = 1_000  # rows held in memory at a time
_SECRET = re.compile(r"(^|_)(hash|secrets?|password)(_|$)")
Progress = Callable[[float], None]


async def row_counts(application: Application, tenant_id: UUID) -> Mapping[str, int]:
    """Table -> how many rows of this tenant it holds, for every table in the database's catalogue.

    Raises:
        Conflict: some of them cannot be read; the message names them.
    """
    database = application.services.database
    tables = await tenant_tables(database)
    refuse_out_of_reach(tables)
    with bind(tenant_id):
        return {table.plain: await count_rows(database, table) for table in tables}


async def export_tenant(
    application: Application, tenant: Tenant, target: Path, *, files: bool, advance: Progress
) -> dict[str, Any]:
    """Write the archive; secrets and hashes of secrets are left out.

    Returns:
        `archive` (its path), `rows` and `files` (how many), `tables` (rows of each).

    Raises:
        Conflict: some table with rows of tenants cannot be read; the message names it.
    """
    aside = target.with_name(f".{target.name}.partial")
    try:
        with bind(tenant.id), zipfile.ZipFile(aside, "w", zipfile.ZIP_DEFLATED) as archive:
            summary = await _write(archive, application, tenant, files, advance)
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)
    tables = summary["tables"]
    return {"archive": str(target), "rows": sum(tables.values()), "files": summary["files"], "tables": tables}


async def _write(
    archive: zipfile.ZipFile, application: Application, tenant: Tenant, files: bool, advance: Progress
) -> dict[str, Any]:
    done, tables = 0, {}
    for model in application.services.database.tenant_models():
        tables[_table(model)] = await _write_table(archive, model, advance, done)
        done += tables[_table(model)]
    beside = await tenant_tables(application.services.database, without=tables)
    refuse_out_of_reach(beside)
    for table in beside:
        tables[table.plain] = await _write_raw(archive, application, table)
    await _write_people(archive)
    summary = {
        "tenant": {"id": str(tenant.id), "slug": tenant.slug, "name": tenant.name, "plan": tenant.plan},
        "exported_at": datetime.now(UTC),
        "tables": tables,
        "files": await _write_files(archive, application, tenant.id) if files else 0,
    }
    archive.writestr("export.json", orjson.dumps(summary, option=orjson.OPT_INDENT_2))
    return summary


async def _write_table(archive: zipfile.ZipFile, model: type[TenantModel], advance: Progress, done: int) -> int:
    columns = [name for name in model._meta.db_fields if not _SECRET.search(name)]
    count = 0
    last: Any = None
    with archive.open(f"tables/{_table(model)}.jsonl", "w") as lines:
        while True:
            query = model.all().order_by("id").limit(BATCH)
            rows = await (query.filter(id__gt=last) if last is not None else query).values(*columns)
            for row in rows:
                lines.write(orjson.dumps({name: without_secrets(row[name]) for name in row}, default=str) + b"\n")
            count += len(rows)
            advance(done + count)
            if len(rows) < BATCH:
                return count
            last = rows[-1]["id"]


async def _write_raw(archive: zipfile.ZipFile, application: Application, table: TenantTable) -> int:
    """A table that no loaded model stands for, as the database has it."""
    count = 0
    with archive.open(f"tables/{table.plain}.jsonl", "w") as lines:
        async for row in read_rows(application.services.database, table):
            shown = {name: value for name, value in row.items() if not _SECRET.search(name)}
            lines.write(orjson.dumps(shown, default=str) + b"\n")
            count += 1
    return count


async def _write_people(archive: zipfile.ZipFile) -> None:
    """Name and address of each member: users belong to the deployment, so their rows are in no tenant table."""
    ids = await Membership.all().values_list("user_id", flat=True)
    people = await User.filter(id__in=ids).order_by("id").values("id", "email", "name", "created_at")
    archive.writestr("people.jsonl", b"".join(orjson.dumps(person, default=str) + b"\n" for person in people))


async def _write_files(archive: zipfile.ZipFile, application: Application, tenant_id: UUID) -> int:
    prefix, count = f"t/{tenant_id}/", 0
    async for stored in application.services.storage.list(prefix):
        with archive.open(f"files/{stored.key.removeprefix(prefix)}", "w", force_zip64=True) as copy:
            async for chunk in await application.services.storage.get(stored.key):
                copy.write(chunk)
        count += 1
    return count


def _table(model: type[Model]) -> str:
    return str(model._meta.db_table)
