"""The root of the command line; imports a command's module only when it is called."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Mapping

import click

from host.cli.command import config_path
from host.errors import ConfigurationError
from host.registry.discovery import find, hooks_in_source, read

VERBS: Mapping[str, tuple[str, str]] = {
    "init": ("host.cli.init", "Write a deployment's plugins.toml and config/ into this folder."),
    "serve": ("host.cli.serve", "Start the web server; on a fresh machine everything it needs as well."),
    "worker": ("host.cli.worker", "Run background jobs."),
    "migrate": ("host.cli.migrate", "Bring the database up to date, or show how."),
    "demo": ("host.cli.demo", "Fill a development database with something to look at."),
    "doctor": ("host.cli.doctor", "Look at every part and say what is wrong and how to mend it."),
    "routes": ("host.cli.describe", "List every endpoint and who may call it."),
    "openapi": ("host.cli.describe", "Print the OpenAPI document or a Postman collection."),
    "plugin": ("host.cli.plugins", "List, write, check, enable and disable plugins."),
    "tenant": ("host.cli.tenants", "List, create, suspend, resume, export and delete tenants."),
    "person": ("host.cli.person", "List what is held of a person, and erase it."),
    "limits": ("host.cli.limits", "Show, set and recount a tenant's limits."),
    "jobs": ("host.cli.jobs", "List, show, retry and cancel background jobs; pause and resume tasks."),
    "verify": ("host.cli.verify", "Prove that tenant isolation, route permissions and stored keys are right."),
}
"""Verb -> its module and one line of help; help is here so that `--help` need not import the whole deployment."""


class Program(click.Group):
    """Knows its verbs by name, and after them the plugins that bring commands of their own."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The host's verbs; plugins' commands are found by their id and listed by `tenantry plugin list`."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a verb, or the group of a plugin's commands."""
        if cmd_name in VERBS:
            own = getattr(importlib.import_module(VERBS[cmd_name][0]), cmd_name)
            return own if isinstance(own, click.Command) else None
        return importlib.import_module("host.cli.plugin_commands").group(cmd_name)  # type: ignore[no-any-return]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with the nearest right word when there is no such verb."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            close = difflib.get_close_matches(args[0], VERBS, n=1)
            if close:
                raise click.UsageError(f"No such command {args[0]!r}: did you mean {close[0]!r}?", ctx) from error
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table of verbs and of the plugins that bring commands, without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(verb, line) for verb, (_, line) in VERBS.items()])
        if brought := _plugins_with_commands():
            with formatter.section("Commands of this deployment's plugins"):
                formatter.write_dl(brought)


def _plugins_with_commands() -> list[tuple[str, str]]:
    """The id and summary of each plugin of this deployment that brings commands; [] where none can be read."""
    plugins_file = config_path().absolute().parent.parent / "plugins.toml"
    try:
        plugins = find(read(plugins_file), plugins_file)
    except ConfigurationError:
        return []
    hook = {"register_commands"}
    return [(each.manifest.id, each.manifest.summary) for each in plugins if hooks_in_source(each, hook)]


@click.command(cls=Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--config", type=click.Path(), help="The settings file; config/settings.toml below here otherwise.")
@click.version_option(package_name="tenantry")
def tenantry(config: str | None) -> None:
    """Tenantry: a modular host for plugins and tenants."""


def main() -> None:
    """The entry point; complaints about the configuration that no command caught end here."""
    try:
        tenantry(prog_name="tenantry")
    except ConfigurationError as error:
        sys.stderr.write(f"✗ {error}\n")
        raise SystemExit(1) from error


__all__ = ["config_path", "main", "tenantry"]
