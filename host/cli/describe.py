"""`tenantry routes` and `tenantry openapi`: show the endpoints of a deployment without opening its database."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click
import orjson

from host import core_plugin
from host.cli.command import command
from host.cli.open_application import read_settings, registry
from host.cli.terminal import Complaint, Terminal
from host.contracts import Route
from host.data.database import Database
from host.registry.kinds import ROUTES
from host.web.openapi.document import Documents
from host.web.openapi.postman import collection

COLUMNS = ("method", "path", "who", "operation")


def who(route: Route) -> str:
    """Who may call a route, in one word."""
    if route.permission:
        return route.permission
    return "signed in" if route.signed_in else "operator" if route.operator else "public"


@click.command()
@click.option("--plugin", help="Only this plugin's; the host's own are under `host`.")
@command
def routes(terminal: Terminal, plugin: str | None) -> None:
    """List every endpoint and who may call it."""
    loaded = registry(read_settings())
    if plugin and plugin not in {*loaded.ids, "host"}:
        raise Complaint(f"no plugin {plugin!r} is loaded", f"there are host, {', '.join(loaded.ids)}", code="NOT_FOUND")
    rows: list[dict[str, Any]] = [
        {
            "method": "SOCKET" if route.socket else route.method,
            "path": f"/api/v1{route.path}",
            "who": who(route),
            "operation": f"{owner}.{route.name}",
            "plugin": owner,
            "summary": route.summary,
        }
        for owner, route in loaded.catalog.all(ROUTES)
        if plugin in (None, owner)
    ]
    terminal.rows(sorted(rows, key=lambda row: (row["path"], row["method"])), COLUMNS, empty="No routes.")


@click.command()
@click.option("--postman", is_flag=True, help="A Postman collection (v2.1) instead.")
@click.option("--plugin", "plugins", multiple=True, help="Only these plugins and the host.")
@click.option("--to", "target", type=click.Path(dir_okay=False, path_type=Path), help="A file instead of the terminal.")
@command
def openapi(terminal: Terminal, postman: bool, plugins: tuple[str, ...], target: Path | None) -> None:
    """Print the OpenAPI 3.1 document, or a Postman collection, of this deployment."""
    settings = read_settings()
    loaded = registry(settings)
    unknown = [plugin for plugin in plugins if plugin not in loaded.ids]
    if unknown:
        raise Complaint(f"no plugin {unknown[0]!r} is loaded", f"there are {', '.join(loaded.ids)}", code="NOT_FOUND")
    apps = {**core_plugin.APPS, **loaded.model_modules} | core_plugin.APPS  # the foundation's models come first
    asyncio.run(Database(path=settings.data.dir / "tenantry.sqlite3", apps=apps).open())  # completes the models only
    document = Documents(loaded.catalog.all(ROUTES), loaded.plugins).openapi(plugins or None)
    text = orjson.dumps(collection(document) if postman else document, option=orjson.OPT_INDENT_2).decode()
    if target is None:
        return click.echo(text)
    target.write_text(text + "\n", "utf-8")
    terminal.done({"file": str(target)}, f"Wrote {target}.")
