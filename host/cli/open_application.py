"""Open the settings, the registry or the whole application for a command, without a web server."""

from __future__ import annotations

import getpass
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

from host import core_plugin, log
from host.app import Application
from host.cli.command import config_path
from host.cli.terminal import Complaint
from host.contracts import Actor, Origin
from host.execution_context import acting
from host.registry.discovery import read
from host.registry.registry import Registry
from host.settings import Settings, load
from host.settings.plans import read_plans
from host.web.handlers.binding import compile
from tenants.models import Tenant


def read_settings(*, quiet: bool = True) -> Settings:
    """The settings of this deployment, with logging set up: for commands only what is worth a warning.

    Raises:
        ConfigurationError: something in them is wrong.
    """
    path = config_path()
    plugins_file = path.absolute().parent.parent / "plugins.toml"
    ids = [wanted.id for wanted in read(plugins_file)] if plugins_file.exists() else []
    settings = load(path, plugin_ids=ids)
    level = "warning" if quiet and settings.log.level == "info" else settings.log.level
    log.configure(level, settings.log.format)
    return settings


def registry(settings: Settings, *, strict: bool = False) -> Registry:
    """The plugins and what they declare, without a database or any other service.

    What fails while loading is told by the registry itself; its log lines with their traces are left out.

    Raises:
        ConfigurationError: lists everything that is wrong with plugins, plans or their settings.
    """
    logging.getLogger("host.registry").setLevel(logging.CRITICAL)
    return Registry.load(
        settings.plugins_file,
        plans=read_plans(settings.plans_file),
        host_plugin=core_plugin,
        strict=strict,
        check_route=compile,
    )


@asynccontextmanager
async def opened(settings: Settings | None = None, *, migrate: bool = False) -> AsyncIterator[Application]:
    """The application, started for one command and bound, with the command line as the actor.

    Raises:
        ConfigurationError: it cannot start, such as when the tables are behind the code and `migrate` is not asked.
    """
    async with Application.open(settings or read_settings(), migrate=migrate) as application:
        with acting(at_keyboard()):
            yield application


@asynccontextmanager
async def with_database(settings: Settings | None = None) -> AsyncIterator[Application]:
    """The application with its database only, even if migrations are pending: no Redis, no plugin started.

    Raises:
        ConfigurationError: settings or plugins are wrong.
    """
    application = Application.build(settings or read_settings())
    await application.services.database.open()
    try:
        with application.bound(), acting(at_keyboard()):
            yield application
    finally:
        await application.services.database.close()


def at_keyboard() -> Origin:
    """The origin of a command's actions: the command line, with the name of the login."""
    return Origin(f"cli-{uuid4().hex[:12]}", Actor("system", label=f"command line ({_login()})"))


async def tenant(slug: str) -> Tenant:
    """One tenant by its slug.

    Raises:
        Complaint: there is none.
    """
    row = await Tenant.get_or_none(slug=slug)
    if row is None:
        raise Complaint(f"there is no tenant {slug!r}", "`tenantry tenant list` shows them all", code="NOT_FOUND")
    return row


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        return str(os.getuid())
