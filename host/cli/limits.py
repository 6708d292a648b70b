"""`tenantry limits`: show, set, unset and recount a tenant's limits."""

from __future__ import annotations

from typing import Any

import click

from host.app import Application
from host.cli.command import asynchronous, dry_run_option, yes_option
from host.cli.open_application import opened, tenant
from host.cli.terminal import Complaint, Terminal
from host.execution_context import in_tenant
from host.plan_limits import limit_used, limit_value
from host.services import unit_of_work
from tenants.snapshots import TenantSnapshot

COLUMNS = ("limit", "kind", "value", "from", "used", "resets_at")


@click.group()
def limits() -> None:
    """Show, set and recount a tenant's limits."""


@limits.command()
@click.argument("slug")
@asynchronous
async def show(terminal: Terminal, slug: str) -> None:
    """Every limit of a tenant: its value, where that comes from, what is used of it."""
    async with opened() as application:
        with in_tenant(await _facts(application, slug)):
            rows = [await _row(application, name) for name in application.services.limits]
    terminal.rows(rows, COLUMNS, empty="No plugin declares a limit.")


@limits.command("set")
@click.argument("slug")
@click.argument("limit")
@click.argument("value")
@dry_run_option
@asynchronous
async def set_(terminal: Terminal, slug: str, limit: str, value: str, dry_run: bool) -> None:
    """Give a tenant its own VALUE ("20", "500/month", "5 GB", "unlimited") of a limit; it wins over the plan's."""
    await _change(terminal, slug, limit, value, dry_run)


@limits.command()
@click.argument("slug")
@click.argument("limit")
@dry_run_option
@asynchronous
async def unset(terminal: Terminal, slug: str, limit: str, dry_run: bool) -> None:
    """Take a tenant's own value of a limit back; the plan's holds again."""
    await _change(terminal, slug, limit, None, dry_run)


@limits.command()
@click.argument("slug")
@click.argument("limit")
@click.argument("count", type=click.IntRange(min=0))
@yes_option
@dry_run_option
@asynchronous
async def reconcile(terminal: Terminal, slug: str, limit: str, count: int, yes: bool, dry_run: bool) -> None:
    """Correct a quota's counter: COUNT is how much is really in use."""
    async with opened() as application:
        _declared(application, limit, "quota")
        if application.services.limits[limit].count is not None:
            raise Complaint(f"{limit} counts what there is, so its number is always right", "there is nothing to do")
        with in_tenant(await _facts(application, slug)):
            before = await _row(application, limit)
            sentence = f"{limit} of {slug}: {before['used']} counted, {count} true"
            if dry_run:
                return terminal.done({**before, "would_be": count}, f"{sentence}.")
            terminal.confirm(f"{sentence}. Correct the counter?", yes)
            value, _ = await limit_value(limit)
            async with unit_of_work() as work:
                await application.services.quotas.reconcile(limit, value, count)
                change = {"before": {limit: before["used"]}, "after": {limit: count}}
                work.record("tenant.limits.reconcile", "limit", limit, **change)
            after = await _row(application, limit)
    terminal.done(after, f"{limit} of {slug}: {after['used']} used of {after['value']}.")


async def _change(terminal: Terminal, slug: str, limit: str, value: str | None, dry_run: bool) -> None:
    async with opened() as application:
        _declared(application, limit)
        facts = await _facts(application, slug)
        if dry_run:
            return terminal.done(
                {"limit": limit, "value": value}, f"Would make {limit} of {slug} {value or 'the plan’s'}."
            )
        await application.provisioning.set_limit(facts.id, limit, value)
        with in_tenant(await _facts(application, slug)):
            row = await _row(application, limit)
    terminal.done(row, f"{limit} of {slug} is {row['value']}, from the {row['from']}.")


async def _facts(application: Application, slug: str) -> TenantSnapshot:
    application.services.snapshots.forget_all()  # a cached snapshot would hide the change just made
    snapshot = await application.services.snapshots.tenant((await tenant(slug)).id, None)
    if snapshot is None:
        raise Complaint(f"the tenant {slug!r} was purged just now", code="NOT_FOUND")
    return snapshot


def _declared(application: Application, limit: str, kind: str | None = None) -> None:
    names = [name for name, each in application.services.limits.items() if kind in (None, each.kind)]
    if limit not in names:
        raise Complaint(f"there is no {kind or 'limit'} {limit!r}", f"there are {', '.join(names)}", code="NOT_FOUND")


async def _row(application: Application, name: str) -> dict[str, Any]:
    declared = application.services.limits[name]
    value, source = await limit_value(name)
    quota = declared.kind == "quota"
    return {
        "limit": name,
        "kind": declared.kind,
        "unit": declared.unit,
        "value": str(value),
        "from": source,
        "used": await limit_used(name, value),
        "resets_at": application.services.quotas.resets_at(value) if quota else None,
        "summary": declared.summary,
    }
