"""`tenantry person`: list the personal data held about somebody, and erase it."""

from __future__ import annotations

from dataclasses import asdict
from uuid import UUID

import click

from host.app import Application
from host.cli.command import asynchronous, dry_run_option, yes_option
from host.cli.open_application import opened
from host.cli.open_application import tenant as by_slug
from host.cli.terminal import Terminal
from host.contracts import Person
from host.execution_context import in_tenant
from host.personal_data import erasure, tasks
from tenants.snapshots import TenantSnapshot

COLUMNS = ("tenant", "kind", "rows", "summary", "kept")
_tenant = click.option("--tenant", metavar="SLUG", default="", help="Only in this organisation; the account stays.")


@click.group()
def person() -> None:
    """List what is held of a person, with an account or only an address, and erase it."""


@person.command()
@click.argument("who")
@_tenant
@asynchronous
async def show(terminal: Terminal, who: str, tenant: str) -> None:
    """What is held of WHO, an e-mail address or an account's id: rows by organisation and kind; changes nothing."""
    async with opened() as application:
        with in_tenant(await _facts(application, tenant)):
            held = await erasure.find(await _person(who))
    terminal.rows([asdict(kind) for kind in held], COLUMNS, empty="Nothing is held of this person.")


@person.command()
@click.argument("who")
@_tenant
@click.option("--reason", required=True, help="Why; it stays on record.")
@yes_option
@dry_run_option
@asynchronous
async def erase(terminal: Terminal, who: str, tenant: str, reason: str, yes: bool, dry_run: bool) -> None:
    """Erase WHO, an e-mail address or an account's id, and prove that no table names the address any more."""
    async with opened() as application:
        with in_tenant(await _facts(application, tenant)):
            subject = await _person(who)
            held = await erasure.find(subject)
            if dry_run or not held:
                return terminal.rows([asdict(each) for each in held], COLUMNS, empty="Nothing is held of this person.")
            terminal.confirm(f"Erase {sum(each.rows for each in held)} rows of {who} for ever?", yes)
            with terminal.progress("erasing"):
                await tasks.record_begin(subject, reason)
                erased = await erasure.erase_and_prove(subject)
                await tasks.record_finish(subject, erased)
    terminal.done([asdict(each) for each in erased], f"Erased; no table names {who} any more.")


async def _person(who: str) -> Person:
    try:
        return await erasure.person_of(user_id=UUID(who))
    except ValueError:
        return await erasure.person_of(email=who)


async def _facts(application: Application, slug: str) -> TenantSnapshot | None:
    return await application.services.snapshots.tenant((await by_slug(slug)).id, None) if slug else None
