"""`tenantry tenant`: list, create, suspend, resume, export and delete tenants; set their owner and plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from host.cli.command import asynchronous, dry_run_option, yes_option
from host.cli.open_application import opened
from host.cli.open_application import tenant as by_slug
from host.cli.tenant_export import export_tenant, row_counts
from host.cli.terminal import Complaint, Terminal
from host.errors import ValidationFailed
from host.membership.members import appoint_owner, proven_person
from host.plans import pin_plan, unpin_plan
from tenants.models import Tenant, TenantStatus, User

COLUMNS = ("slug", "name", "plan", "status", "created_at")


@click.group()
def tenant() -> None:
    """List, create, suspend, resume, export and delete tenants, and appoint their owners."""


def facts(row: Tenant) -> dict[str, Any]:
    """What is shown of a tenant."""
    return {
        "id": row.id,
        "slug": row.slug,
        "name": row.name,
        "plan": row.plan,
        "plan_pinned": row.plan_pinned,
        "plan_why": row.plan_why,
        "source_plan": row.source_plan,
        "status": row.status.value,
        "status_reason": row.status_reason,
        "delete_after": row.delete_after,
        "created_at": row.created_at,
    }


@tenant.command("list")
@click.option("--status", type=click.Choice([status.value for status in TenantStatus]))
@click.option("--plan", help="Only those with this plan.")
@asynchronous
async def list_(terminal: Terminal, status: str | None, plan: str | None) -> None:
    """Every tenant of this deployment, by slug."""
    async with opened():
        query = Tenant.all().order_by("slug")
        query = query.filter(status=status) if status else query
        query = query.filter(plan=plan) if plan else query
        rows = [facts(row) for row in await query]
    terminal.rows(rows, COLUMNS, empty="No tenants: `tenantry tenant create NAME` makes one.")


@tenant.command()
@click.argument("name")
@click.option("--slug", help="Its name in addresses; made from NAME otherwise.")
@click.option("--plan", default="", help="Its plan; app.default_plan otherwise.")
@click.option("--owner", metavar="EMAIL", help="Who owns it: somebody with an account and a verified address.")
@dry_run_option
@asynchronous
async def create(terminal: Terminal, name: str, slug: str | None, plan: str, owner: str | None, dry_run: bool) -> None:
    """Make a tenant with its roles."""
    async with opened() as application:
        person = await _person(owner) if owner else None
        if dry_run:
            shown = {"name": name, "slug": slug, "plan": plan or application.settings.app.default_plan, "owner": owner}
            return terminal.done(shown, f"Would create {name!r} with the plan {shown['plan']}.")
        row = await application.provisioning.create(name, slug=slug, plan=plan, owner=person)
    terminal.done(facts(row), f"Created {row.slug} ({row.id}) with the plan {row.plan}.")


@tenant.command()
@click.argument("slug")
@click.option("--email", required=True, help="Who is to own it: somebody with an account and a verified address.")
@dry_run_option
@asynchronous
async def owner(terminal: Terminal, slug: str, email: str, dry_run: bool) -> None:
    """Make somebody owner of a tenant, beside those there are; also where nobody is."""
    async with opened():
        row, person = await by_slug(slug), await _person(email)
        shown = {"slug": slug, "user_id": person.id, "email": person.email}
        if dry_run:
            return terminal.done(shown, f"Would make {person.email} owner of {slug}.")
        member = await appoint_owner(row.id, person.email)
    terminal.done(shown | {"role": member.role.name}, f"{person.email} owns {slug} with the role {member.role.name}.")


@tenant.command()
@click.argument("slug")
@click.option("--reason", required=True, help="Why; its members see it.")
@yes_option
@dry_run_option
@asynchronous
async def suspend(terminal: Terminal, slug: str, reason: str, yes: bool, dry_run: bool) -> None:
    """Close a tenant to its members; data and plan stay."""
    async with opened() as application:
        row = await by_slug(slug)
        if dry_run:
            return terminal.done(facts(row), f"Would suspend {slug}: {reason}")
        terminal.confirm(f"Suspend {slug} ({row.name})? Its members lose access at once.", yes)
        await application.provisioning.suspend(row.id, reason)
        row = await by_slug(slug)
    terminal.done(facts(row), f"Suspended {slug}; `tenantry tenant resume {slug}` opens it again.")


@tenant.command()
@click.argument("slug")
@asynchronous
async def resume(terminal: Terminal, slug: str) -> None:
    """Open a suspended tenant again, or take back a deletion within its grace period."""
    async with opened() as application:
        await application.provisioning.resume((await by_slug(slug)).id)
        row = await by_slug(slug)
    terminal.done(facts(row), f"{slug} is open again.")


@tenant.command()
@click.argument("slug")
@click.argument("plan", default="")
@click.option("--why", default="", help="Why; its members see it.")
@click.option("--unpin", is_flag=True, help="Lift the pin instead: what the plan source chose last takes over.")
@dry_run_option
@asynchronous
async def plan(terminal: Terminal, slug: str, plan: str, why: str, unpin: bool, dry_run: bool) -> None:
    """Give a tenant a plan and pin it, whatever the plan source chooses; what it has beyond the new limits stays."""
    if unpin == bool(plan):
        raise Complaint("give either a plan or --unpin", f"`tenantry tenant plan {slug} PLAN`, or `--unpin`")
    async with opened() as application:
        row = await by_slug(slug)
        if unpin:
            return await _unpin(terminal, row, dry_run)
        if plan not in application.services.plans.ids:
            raise Complaint(
                f"there is no plan {plan!r}", f"config/plans.toml has {', '.join(application.services.plans.ids)}"
            )
        if dry_run:
            return terminal.done(facts(row), f"Would move {slug} from {row.plan} to {plan} and pin it.")
        await pin_plan(row.id, plan, why)
        row = await by_slug(slug)
    terminal.done(facts(row), f"{slug} has the plan {row.plan}, pinned; --unpin lifts that.")


async def _unpin(terminal: Terminal, row: Tenant, dry_run: bool) -> None:
    if dry_run:
        return terminal.done(facts(row), f"Would lift the pin: {row.slug} would have {row.source_plan or row.plan}.")
    await unpin_plan(row.id)
    row = await by_slug(row.slug)
    terminal.done(facts(row), f"{row.slug} has the plan {row.plan}, not pinned.")


@tenant.command()
@click.argument("slug")
@click.option(
    "--to", "target", type=click.Path(dir_okay=False, path_type=Path), help="The archive; SLUG.zip otherwise."
)
@click.option("--files/--no-files", default=True, help="Whether stored files go in as well.")
@asynchronous
async def export(terminal: Terminal, slug: str, target: Path | None, files: bool) -> None:
    """Write everything of a tenant into one archive: a JSON line per row, and its stored files."""
    async with opened() as application:
        row = await by_slug(slug)
        with terminal.progress(f"exporting {slug}") as advance:
            written = await export_tenant(application, row, target or Path(f"{slug}.zip"), files=files, advance=advance)
    terminal.done(
        written, f"{written['rows']} rows and {written['files']} files of {slug} are in {written['archive']}."
    )


@tenant.command()
@click.argument("slug")
@click.option("--purge", is_flag=True, help="Remove it now, for ever, instead of after the grace period.")
@yes_option
@dry_run_option
@asynchronous
async def delete(terminal: Terminal, slug: str, purge: bool, yes: bool, dry_run: bool) -> None:
    """Close a tenant and purge it when the grace period is over."""
    async with opened() as application:
        row = await by_slug(slug)
        counts = await row_counts(application, row.id)
        contents = f"{slug} ({row.name}): {sum(counts.values())} rows in {len(counts)} tables"
        if dry_run:
            when = "at once" if purge else f"after {application.settings.tenants.grace_days} days"
            return terminal.done({**facts(row), "rows": counts}, f"Would remove {contents}, {when}.")
        terminal.confirm(f"Delete {contents}{' NOW AND FOR EVER' if purge else ''}?", yes)
        if row.status != TenantStatus.DELETING:
            await application.provisioning.delete(row.id)
        if purge:
            with terminal.progress(f"purging {slug}"):
                await application.provisioning.purge(row.id)
            return terminal.done({"slug": slug, "purged": True, "rows": counts}, f"Nothing is left of {slug}.")
        row = await by_slug(slug)
    terminal.done(
        facts(row),
        f"{slug} is closed and will be purged after {row.delete_after}; `tenantry tenant resume` takes it back.",
    )


async def _person(email: str) -> User:
    try:
        return await proven_person(email)
    except ValidationFailed as error:
        fix = "let them register and open the link that proves their address first"
        raise Complaint(f"{email}: {error.details['email']}", fix, code=error.code) from error
