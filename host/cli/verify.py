"""`tenantry verify`: prove on the running deployment that isolation, permissions and stored keys are right."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any, cast
from uuid import UUID

import click
import httpx
from tortoise.fields.relational import ForeignKeyFieldInstance
from tortoise.models import Model

from host.app import Application
from host.cli.command import asynchronous
from host.cli.open_application import opened, with_database
from host.cli.plugin_commands import group as plugin_commands
from host.cli.terminal import Terminal
from host.contracts import Route
from host.data import rls
from host.registry.kinds import ROUTES
from host.web.server.pipeline import AsgiApp
from tenants.context import SYSTEM_TENANT, TenantMissing, bind
from tenants.models import Tenant
from tenants.scoping import TenantModel

Finding = dict[str, str]
TENANT_KEY = re.compile(rb"^t:([0-9a-f-]{36}):([a-z][a-z0-9_]*):")
HOST_KEYS = (b"rate:", b"v:", b"saq:", b"m:", b"p:", b"streams:", b"ticket:")
"""How the host's own keys in Redis begin: counters, version tokens, wake-ups, what is measured, streams, tickets."""

MENDED = "`tenantry migrate` restores tenant isolation in the database"
BY_HAND = "this is for a person to decide: `tenantry migrate` leaves it as it is"


class Proofs(click.Group):
    """The host's own proofs, and of each plugin that has a command `verify` that one, under the plugin's id."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The proof of that name."""
        own = super().get_command(ctx, cmd_name)
        brought = None if own else plugin_commands(cmd_name)
        return own or (brought.get_command(ctx, "verify") if brought else None)


@click.group(cls=Proofs)
def verify() -> None:
    """Prove that tenant isolation, route permissions and stored keys are right; and what a plugin's own command
    `verify` proves."""


@verify.command()
@asynchronous
async def isolation(terminal: Terminal) -> None:
    """Check tenant isolation: the database's catalogue, every table without a tenant, every link between rows."""
    async with with_database() as application:
        database = application.services.database
        findings = [_finding(gap.complaint, MENDED if gap.remedy else BY_HAND) for gap in await rls.findings(database)]
        models = application.services.database.tenant_models()
        with terminal.progress("looking at tables", len(models)) as advance:
            for number, model in enumerate(models, 1):
                table = model._meta.db_table
                try:
                    with bind(None):
                        await model.all().count()
                    findings.append(_finding(f"{table} can be read with no tenant bound", "make it a TenantModel"))
                except TenantMissing:
                    pass
                if application.services.database.dialect == "postgres" and await _visible(application, table):
                    findings.append(_finding(f"{table} shows rows to a connection without a tenant", MENDED))
                findings += await _crossing(application, model)
                advance(number)
    tables = [model._meta.db_table for model in models]
    terminal.verdict(findings, {"tables": tables}, f"Tenant isolation holds for {len(tables)} tables.")


async def _visible(application: Application, table: str) -> int:
    with bind(None):
        rows = await application.services.database.fetch(f'SELECT count(*) AS seen FROM "{table}"')  # noqa: S608 - our own name
    return int(rows[0]["seen"])


async def _crossing(application: Application, model: type[TenantModel]) -> list[Finding]:
    """Rows that link to another tenant's; searched as the tables' owner, to whom row-level security does not apply."""
    findings = []
    for name in sorted(model._meta.fk_fields | model._meta.o2o_fields):
        link = cast("ForeignKeyFieldInstance[Model]", model._meta.fields_map[name])
        parent = link.related_model
        if not issubclass(parent, TenantModel):
            continue
        column, key = model._meta.fields_db_projection[str(link.source_field)], parent._meta.db_pk_column
        child, above = model._meta.db_table, parent._meta.db_table
        sql = (
            f'SELECT count(*) AS wrong FROM "{child}" c JOIN "{above}" p '  # noqa: S608 - our own names
            f'ON c."{column}" = p."{key}" WHERE c.tenant_id <> p.tenant_id'
        )
        async with application.services.database.owner() as client:
            wrong = (await client.execute_query_dict(sql))[0]["wrong"]
        if wrong:
            complaint = f"{wrong} rows of {child} link to another tenant's {above}"
            findings.append(_finding(complaint, "delete or relink them"))
    return findings


@verify.command()
@asynchronous
async def gates(terminal: Terminal) -> None:
    """Call every endpoint that is not public without a token and with a forged one: each must answer 401."""
    async with opened() as application:
        routes = [(owner, route) for owner, route in application.registry.catalog.all(ROUTES) if not route.public]
        app = application.asgi()
        findings: list[Finding] = []
        with terminal.progress("calling", len(routes)) as advance:
            for number, (owner, route) in enumerate(routes, 1):
                for headers in ({}, {"Authorization": "Bearer forged.token.here"}):
                    findings += await _call_without_access(app, number, owner, route, headers)
                advance(number)
    terminal.verdict(findings, {"routes": len(routes)}, f"{len(routes)} endpoints refuse anonymous callers.")


async def _call_without_access(
    app: AsgiApp, number: int, owner: str, route: Route, headers: dict[str, str]
) -> list[Finding]:
    # An address of its own for each endpoint: a refusal must not come from the rate limit.
    address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    transport = httpx.ASGITransport(app=app, client=(address, 1))  # type: ignore[arg-type]
    path = "/api/v1" + re.sub(r"<(?:(\w+):)?\w+>", _filled, route.path)
    async with httpx.AsyncClient(transport=transport, base_url="http://verify") as client:
        answer = await client.request(route.method, path, headers={**headers, "X-Request-ID": f"verify-{number}"})
    if answer.status_code == 401:
        return []
    who = "a forged token" if headers else "no token"
    complaint = f"{route.method} {route.path} ({owner}) answers {answer.status_code} to {who}"
    return [_finding(complaint, "it must answer 401: see who may call it with `tenantry routes`")]


def _filled(parameter: re.Match[str]) -> str:
    return {"uuid": str(UUID(int=0)), "int": "1"}.get(parameter[1] or "", "x")


@verify.command()
@asynchronous
async def keys(terminal: Terminal) -> None:
    """Check every key in Redis and every stored file: each must name its tenant, and that tenant must exist."""
    async with opened() as application:
        alive = {str(tenant_id) for tenant_id in (SYSTEM_TENANT, *await Tenant.all().values_list("id", flat=True))}
        plugin_ids = {"host", *application.registry.ids}
        findings: list[Finding] = []
        count = 0
        with terminal.progress("reading keys") as advance:
            async for key in _redis_keys(application):
                count += 1
                findings += _look_at_key(key, alive, plugin_ids)
                advance(count)
            async for stored in application.services.storage.list(""):
                count += 1
                parts = stored.key.split("/")
                if len(parts) < 4 or parts[0] != "t" or parts[1] not in alive:
                    findings.append(
                        _finding(f"the file {stored.key} belongs to no tenant", "look at it, then delete it")
                    )
                advance(count)
    terminal.verdict(findings, {"keys": count}, f"{count} keys and files name an existing tenant.")


async def _redis_keys(application: Application) -> AsyncIterator[bytes]:
    cursor: Any = b"0"
    while True:
        cursor, page = await application.services.redis_client.call("SCAN", cursor, "COUNT", 500)
        for key in page:
            yield key
        if cursor in (b"0", 0):
            return


def _look_at_key(key: bytes, alive: set[str], plugin_ids: set[str]) -> list[Finding]:
    if key.startswith(HOST_KEYS):
        return []
    shown = key.decode(errors="replace")
    owner = TENANT_KEY.match(key)
    if owner is None:
        return [
            _finding(
                f"the key {shown} does not say which tenant it belongs to",
                "plugins use host.sdk.cache(); is Redis shared?",
            )
        ]
    if owner[1].decode() not in alive:
        return [_finding(f"the key {shown} belongs to a tenant that is gone", "delete it: the purge was interrupted")]
    if owner[2].decode() not in plugin_ids:
        return [_finding(f"the key {shown} belongs to a plugin that is not loaded", "delete it, or enable the plugin")]
    return []


def _finding(what: str, fix: str) -> Finding:
    return {"what": what, "fix": fix}
