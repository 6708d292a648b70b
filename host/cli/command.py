"""Decorators and options that every command shares: --json, --yes, --dry-run, errors as messages."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from host.cli.terminal import Complaint, Terminal
from host.errors import ApiError, ConfigurationError
from host.settings.loading import DEFAULT_FILE

F = TypeVar("F", bound=Callable[..., Any])

yes_option = click.option("--yes", is_flag=True, help="Do not ask, do it.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Show what would happen, change nothing.")


def command(function: Callable[..., None]) -> Callable[..., None]:
    """A command body `(terminal, …options)`; adds --json and turns what it raises into a complaint."""

    @click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
    @functools.wraps(function)
    def run(*args: Any, as_json: bool, **options: Any) -> None:
        terminal = Terminal(as_json)
        with complaining(terminal):
            function(terminal, *args, **options)

    return run


@contextmanager
def complaining(terminal: Terminal) -> Iterator[None]:
    """End the process with a complaint for what the block raises, unless it is a bug, whose stack trace is shown."""
    try:
        yield
    except Exception as error:
        complaint = as_complaint(error)
        if complaint is None or os.environ.get("TENANTRY_TRACEBACK"):
            raise
        terminal.fail(complaint)


def asynchronous(function: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """The same for an `async def` body that opens the host itself."""

    @functools.wraps(function)
    def run(terminal: Terminal, *args: Any, **options: Any) -> None:
        asyncio.run(_awaited(function(terminal, *args, **options)))

    return command(run)


async def _awaited(body: Awaitable[None]) -> None:
    await body


def config_path() -> Path:
    """The settings file: --config, TENANTRY_CONFIG, or the one below the working directory."""
    context = click.get_current_context(silent=True)
    found = context.find_root().params.get("config") if context else None
    return Path(found or os.environ.get("TENANTRY_CONFIG") or DEFAULT_FILE)


def as_complaint(error: Exception) -> Complaint | None:
    """What a person is told about an error; None for one that is a bug and deserves its stack trace."""
    if isinstance(error, Complaint):
        return error
    if isinstance(error, ConfigurationError):
        return Complaint(str(error), code="CONFIGURATION")
    if isinstance(error, ApiError):
        lines = "; ".join(f"{field}: {what}" for field, what in error.details.items())
        shown = f"{error.message} ({lines})" if error.code == "VALIDATION_ERROR" and lines else error.message
        return Complaint(shown, code=error.code, details=error.details)
    if isinstance(error, OSError | TimeoutError):
        return Complaint(
            f"something behind this command cannot be reached: {error or type(error).__name__}",
            "`tenantry doctor` looks at every part and says how to bring it back",
            code="UNAVAILABLE",
        )
    return None


def sentences(complaint: str) -> list[str]:
    """The single complaints of a ConfigurationError, which lists several below a headline."""
    lines = [line for line in complaint.splitlines() if line.strip()]
    listed = [line.removeprefix("- ") for line in lines if line.startswith("- ")]
    return listed or lines
