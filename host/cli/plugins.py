"""`tenantry plugin`: list, write, check, enable and disable plugins."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from host.cli import model_writer, plugin_check, scaffold, source_database
from host.cli.command import command, dry_run_option, sentences, yes_option
from host.cli.open_application import read_settings, registry
from host.cli.terminal import Complaint, Terminal
from host.errors import ConfigurationError
from host.registry import deployment, extension_points
from host.registry.discovery import available, find, read
from host.registry.kinds import COMMANDS, CONTRIBUTIONS
from host.registry.registry import Registry

COLUMNS = ("id", "name", "version", "default", "source", "state", "requires", "wants")


@click.group()
def plugin() -> None:
    """List, write, check, enable and disable plugins of this deployment."""


@plugin.command("list")
@click.option("--points", is_flag=True, help="The extension points that they offer instead, and who contributes.")
@command
def list_(terminal: Terminal, points: bool) -> None:
    """The plugins named in plugins.toml with their state, and those that could be."""
    settings = read_settings()
    loaded = registry(settings)
    if points:
        empty = "No plugin here offers an extension point."
        return terminal.rows(_points(loaded), ("point", "summary", "fields", "contributors"), empty=empty)
    rows: list[dict[str, Any]] = []
    for loaded_plugin in loaded.plugins:
        reason = loaded.quarantine.reason(loaded_plugin.id)
        rows.append(
            {
                "id": loaded_plugin.id,
                "name": loaded_plugin.manifest.name,
                "version": str(loaded_plugin.manifest.version),
                "summary": loaded_plugin.manifest.summary,
                "default": loaded_plugin.default,
                "source": loaded_plugin.source,
                "state": f"quarantined: {reason}" if reason else "loaded",
                "load_seconds": round(loaded_plugin.load_seconds, 4),
                "requires": sorted(loaded_plugin.manifest.requires),
                "wants": list(loaded_plugin.manifest.wants),
                "commands": [made.name for made in loaded.catalog.of(loaded_plugin.id, COMMANDS)],
            }
        )
    for plugin_id in available():
        if plugin_id not in loaded.ids:
            rows.append({"id": plugin_id, "state": "not enabled", "requires": [], "wants": []})
    terminal.rows(rows, COLUMNS, empty="No plugins: `tenantry plugin new ID` writes one.")


def _points(loaded: Registry) -> list[dict[str, Any]]:
    """The extension points with their fields; those that are contributed to and that nobody offers here come last."""
    contributors: dict[str, dict[str, None]] = {}
    for owner, contribution in loaded.catalog.all(CONTRIBUTIONS):
        contributors.setdefault(contribution.point, {})[owner] = None
    rows: list[dict[str, Any]] = [
        {
            "point": name,
            "summary": extension_points.summary(point),
            "fields": [str(field) for field in extension_points.fields(point)],
            "contributors": list(contributors.pop(name, ())),
        }
        for name, point in loaded.extension_points.points.items()
    ]
    unknown = "(offered by no plugin here)"
    return rows + [
        {"point": name, "summary": unknown, "fields": [], "contributors": list(owners)}
        for name, owners in contributors.items()
    ]


@plugin.command()
@click.argument("plugin_id", metavar="ID")
@click.option("--name", help="Its name for people; made from ID otherwise.")
@click.option("--summary", default="A plugin to be.", help="One sentence saying what it is for.")
@click.option("--model", is_flag=True, help="With a table, a service and routes over it.")
@click.option("--test", is_flag=True, help="With a test that goes through HTTP.")
@click.option("--from-database", "source", metavar="URL", help="With models of the tables of an existing database.")
@click.option("--tables", default="", metavar="A,B", help="With --from-database: only these tables.")
@click.option("--enable/--no-enable", default=True, help="Name it in plugins.toml as well.")
@dry_run_option
@command
def new(
    terminal: Terminal,
    plugin_id: str,
    name: str | None,
    summary: str,
    model: bool,
    test: bool,
    source: str | None,
    tables: str,
    enable: bool,
    dry_run: bool,
) -> None:
    """Write the smallest working plugin into plugins/ID."""
    settings = read_settings()
    title = name or plugin_id.replace("_", " ").capitalize()
    sketch = scaffold.Sketch(plugin_id, title, summary, model, test)
    scaffold.refuse_taken(sketch, settings.root)
    if source or tables:
        if model or test or not source:
            raise Complaint("--tables goes with --from-database, and neither with --model or --test", "leave one out")
        sketch = replace(sketch, tables=asyncio.run(_tables_of(source, tables, plugin_id)))
    files = scaffold.draw(sketch, settings.root)
    names = [str(file.relative_to(settings.root)) for file in files]
    notes = {table.source: list(table.notes) for table in sketch.tables}
    shown = {"files": names, "enabled": enable and not dry_run, "notes": notes}
    if dry_run:
        return terminal.done(shown, *(f"Would write {file}" for file in names))
    scaffold.write(files)
    if enable:
        deployment.enable(settings.plugins_file, plugin_id, default="on")
    migrate = (f"`tenantry migrate --make {plugin_id}` writes its first migration, `tenantry migrate` runs it.",)
    terminal.done(
        shown,
        *(f"Wrote {file}" for file in names),
        *(f"{table}: {note}" for table, listed in notes.items() for note in listed),
        *(migrate if model or source else ()),
        f"`tenantry plugin check {plugin_id}` checks it, `tenantry serve` runs it.",
    )


async def _tables_of(url: str, chosen: str, plugin_id: str) -> Sequence[model_writer.Draft]:
    async with source_database.opened(url) as source:
        there = await source.tables()
        names = [name.strip() for name in chosen.split(",") if name.strip()] or list(there)
        for name in names:
            if name not in there:
                raise Complaint(f"the database has no table {name!r}", f"there are {', '.join(there) or 'none'}")
        if not names:
            raise Complaint("the database has no tables", "name another database")
        return model_writer.drafts(plugin_id, [await source.read(name) for name in names])


@plugin.command()
@click.argument("plugin_ids", metavar="[ID]…", nargs=-1)
@command
def check(terminal: Terminal, plugin_ids: tuple[str, ...]) -> None:
    """Check plugins as a deployment does and as a reviewer would: all of plugins.toml, or those named."""
    settings = read_settings()
    named = read(settings.plugins_file)
    names = [wanted.id for wanted in named]
    for plugin_id in plugin_ids:
        if plugin_id not in names:
            raise Complaint(
                f"plugins.toml does not name {plugin_id!r}",
                f"`tenantry plugin enable {plugin_id}`" if plugin_id in available() else f"it names {', '.join(names)}",
                code="NOT_FOUND",
            )
    findings: list[dict[str, str]] = []
    loaded = None
    try:
        loaded = registry(settings, strict=True)
    except ConfigurationError as error:
        findings += [{"what": line, "fix": ""} for line in sentences(str(error))]
    for found in find(named, settings.plugins_file):
        if not plugin_ids or found.manifest.id in plugin_ids:
            findings += plugin_check.look(found, loaded)
    checked = list(plugin_ids or names)
    terminal.verdict(findings, {"checked": checked}, f"{', '.join(checked)}: nothing to complain about.")


@plugin.command()
@click.argument("plugin_id", metavar="ID")
@click.option("--default", type=click.Choice(["on", "off", "always"]), help="For a tenant that has not switched it.")
@click.option("--package", help="The distribution it comes from, when it is not bundled.")
@dry_run_option
@command
def enable(terminal: Terminal, plugin_id: str, default: Any, package: str | None, dry_run: bool) -> None:
    """Name a plugin in plugins.toml; it is loaded at the next start."""
    file = read_settings().plugins_file
    text = deployment.enable(file, plugin_id, default=default, package=package, dry_run=dry_run)
    _edited(terminal, file, text, plugin_id, f"{plugin_id} is enabled", dry_run)


@plugin.command()
@click.argument("plugin_id", metavar="ID")
@yes_option
@dry_run_option
@command
def disable(terminal: Terminal, plugin_id: str, yes: bool, dry_run: bool) -> None:
    """Take a plugin out of plugins.toml, its settings there included; its data stays."""
    file = read_settings().plugins_file
    text = deployment.disable(file, plugin_id, dry_run=True)
    if not dry_run:
        terminal.confirm(f"Take {plugin_id} out of {file}? It is gone for every tenant at the next start.", yes)
        deployment.disable(file, plugin_id)
    _edited(terminal, file, text, plugin_id, f"{plugin_id} is disabled", dry_run)


def _edited(terminal: Terminal, file: Path, text: str, plugin_id: str, sentence: str, dry_run: bool) -> None:
    data = {"plugin": plugin_id, "file": str(file), "changed": not dry_run}
    if dry_run:
        return terminal.done({**data, "text": text}, f"# {file} would be:", text.rstrip())
    terminal.done(data, f"{sentence}; restart the host, then `tenantry migrate` if it has tables.")
