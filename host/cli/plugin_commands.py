"""Mount the commands that plugins register as `tenantry <plugin> <command>`."""

from __future__ import annotations

import asyncio
import copy
import functools
import inspect
from collections.abc import Callable
from typing import Any

import click

from host.app import Application, freeze
from host.cli.command import command, complaining
from host.cli.open_application import opened, read_settings, registry, tenant
from host.cli.terminal import Complaint, Terminal
from host.contracts import Command
from host.errors import ConfigurationError
from host.execution_context import as_plugin, in_tenant
from host.registry.discovery import read
from host.registry.kinds import COMMANDS
from tenants.context import TenantMissing
from tenants.snapshots import TenantSnapshot

_SLUG = "tenantry_slug"


def group(plugin_id: str) -> click.Group | None:
    """The commands of one plugin of this deployment; None when there is no such plugin or it brings none.

    Raises:
        click.ClickException: the deployment cannot be read.
    """
    try:
        settings = read_settings()
        if plugin_id not in {wanted.id for wanted in read(settings.plugins_file)}:
            return None
        commands = registry(settings).catalog.of(plugin_id, COMMANDS)
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from error
    if not commands:
        return None
    plugin_group = click.Group(plugin_id, help=f"What the plugin {plugin_id} brings.")
    for plugin_command in commands:
        plugin_group.add_command(_in_app_context(plugin_command, plugin_id))
    return plugin_group


def _in_app_context(brought: Command, plugin_id: str) -> click.Command:
    """The command with complaints instead of stack traces, its asynchronous body run in an open application."""
    wrapped = copy.copy(brought)
    if isinstance(brought, click.Group):
        wrapped = copy.copy(brought)
        wrapped.commands = {name: _in_app_context(each, plugin_id) for name, each in brought.commands.items()}
        return wrapped
    body = brought.callback
    if body is not None:
        wrapped.callback = _run(body, plugin_id)
    if inspect.iscoroutinefunction(body) and not any("--tenant" in each.opts for each in brought.params):
        wrapped.params = [*brought.params, click.Option(["--tenant", _SLUG], help="Act in this organisation.")]
    return wrapped


def _run(body: Callable[..., Any], plugin_id: str) -> Callable[..., Any]:
    @functools.wraps(body)
    def run(*args: Any, **options: Any) -> Any:
        with complaining(Terminal(bool(options.get("as_json")))):
            if inspect.iscoroutinefunction(body):
                return asyncio.run(_in_open_application(body, plugin_id, args, options))
            with as_plugin(plugin_id):
                return body(*args, **options)

    return run


async def _in_open_application(
    body: Callable[..., Any], plugin_id: str, args: tuple[Any, ...], options: dict[str, Any]
) -> Any:
    slug = options.pop(_SLUG, None)
    async with opened() as application:
        freeze()
        facts = await _entered(application, slug, plugin_id) if slug else None
        try:
            with in_tenant(facts), as_plugin(plugin_id):
                return await body(*args, **options)
        except TenantMissing as error:
            if facts is not None:
                raise
            raise Complaint("this command is for one organisation", "say which: --tenant SLUG") from error


async def _entered(application: Application, slug: str, plugin_id: str) -> TenantSnapshot | None:
    owner = await tenant(slug)
    decision = await application.callbacks.may_run(owner.id, plugin_id)
    if not decision.allowed:
        raise Complaint(f"{plugin_id} may not run in {slug!r}: {decision.reason}", code="PLUGIN_DISABLED")
    return await application.callbacks.snapshot_of(owner.id)


__all__ = ["command", "group"]
