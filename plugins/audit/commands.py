"""Commands `tenantry audit verify` (also `tenantry verify audit`), `seal` and `checkpoint`."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import orjson

from host.sdk import TenantInfo, for_each_tenant, in_system_tenant

from . import checkpoints, sealing
from .checkpoints import Head
from .verification import verify as verify_chain

SYSTEM_LOG = "(no organisation)"
_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
_tenant = click.option("--tenant", metavar="SLUG", default="", help="Only this organisation's log.")


@click.command()
@_tenant
@click.option(
    "--checkpoint",
    "files",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A checkpoint that was kept elsewhere; needs --tenant, or is the host's own. May be given several times.",
)
@_json
async def verify(tenant: str, files: tuple[Path, ...], as_json: bool) -> None:
    """Verify every audit log: name the first altered, removed, inserted, reordered or cut-off entry of each."""
    outside = tuple(_read(file) for file in files)
    results: list[dict[str, Any]] = []

    async def in_log(slug: str) -> None:
        kept_elsewhere = outside if slug == (tenant or SYSTEM_LOG) else ()
        verdict = await verify_chain(outside=kept_elsewhere, on_progress=_progress(slug))
        results.append({"tenant": slug, "ok": verdict.ok, **asdict(verdict)})

    await _in_each_log(in_log, tenant)
    _show(results, as_json)
    if not all(result["ok"] for result in results):
        raise SystemExit(1)


@click.command()
@_tenant
@_json
async def seal(tenant: str, as_json: bool) -> None:
    """Seal the unsealed entries now instead of waiting for the job."""
    sealed: dict[str, int] = {}

    async def in_log(slug: str) -> None:
        sealed[slug] = await sealing.seal()

    await _in_each_log(in_log, tenant)
    document = orjson.dumps({"success": True, "data": sealed}, option=orjson.OPT_INDENT_2).decode()
    click.echo(document if as_json else f"Sealed {sum(sealed.values())} entries in {len(sealed)} logs.")


@click.command()
@_tenant
async def checkpoint(tenant: str) -> None:
    """Print the signed head of one log's chain as JSON, to be kept elsewhere."""

    async def in_log(slug: str) -> None:
        head = await checkpoints.stored()
        if slug == (tenant or SYSTEM_LOG):
            click.echo(orjson.dumps(checkpoints.shown(head) if head else None).decode())

    await _in_each_log(in_log, tenant)


COMMANDS: Sequence[click.Command] = (verify, seal, checkpoint)


async def _in_each_log(run: Callable[[str], Awaitable[None]], slug: str) -> None:
    """Run it in each organisation's log and in the host's own, or in one organisation's log if a slug is given."""

    async def in_tenant(tenant: TenantInfo) -> None:
        await run(tenant.slug)

    if not slug:
        with in_system_tenant():
            await run(SYSTEM_LOG)
    await for_each_tenant(in_tenant, slug)


def _read(file: Path) -> Head:
    try:
        return checkpoints.read(file.read_bytes())
    except ValueError as error:
        raise click.BadParameter(f"{file}: {error}; `tenantry audit checkpoint` prints one") from error


def _progress(slug: str) -> Callable[[int], Awaitable[None]] | None:
    if not sys.stderr.isatty():
        return None

    async def show(checked: int) -> None:
        click.echo(f"\r{slug}: {checked:,} entries", nl=False, err=True)

    return show


def _show(results: list[dict[str, Any]], as_json: bool) -> None:
    wrong = [result for result in results if not result["ok"]]
    if as_json:
        document = {"success": not wrong, "data": {"logs": results}}
        click.echo(orjson.dumps(document, default=str, option=orjson.OPT_INDENT_2).decode())
        return
    for result in wrong:
        click.echo(f"✗ {result['tenant']}: {result['finding']['kind']}: {result['finding']['message']}", err=True)
        click.echo("  fix: keep the database as it is, and compare this position with a backup", err=True)
    if not wrong:
        checked, waiting = (sum(result[name] for result in results) for name in ("checked", "unsealed"))
        click.echo(
            f"✓ {checked:,} entries in {len(results)} logs are as sealed; {waiting:,} are as written, not sealed yet."
        )
