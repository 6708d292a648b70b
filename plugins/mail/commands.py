"""Commands `tenantry mail`: send a message, show the file outbox, show the queue."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click
import orjson

from host.sdk import Command

from .service import messages, stats
from .service import outbox as written
from .service.drafts import Draft

F = TypeVar("F", bound=Callable[..., Any])


def _json(function: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")(function)


@click.command()
@click.argument("to", nargs=-1, required=True)
@click.option("--from", "sender", help="A confirmed sender; default: the organisation's own.")
@click.option("--subject", default="", help="Needed without a template.")
@click.option("--text", default="", help='"-" reads it from standard input.')
@click.option("--html", default="")
@click.option("--template", default="")
@click.option("--variable", "variables", multiple=True, metavar="NAME=VALUE", help="For the template; may be repeated.")
@click.option("--locale", default="")
@click.option("--category", default="", help="Default: the template's own, or transactional.")
@_json
async def send(to: tuple[str, ...], text: str, variables: tuple[str, ...], as_json: bool, **content: Any) -> None:
    """Accept a message TO one or more addresses; a worker delivers it, or `tenantry jobs drain`."""
    values = dict(_variable(each) for each in variables)
    draft = Draft(text=sys.stdin.read() if text == "-" else text, **content)
    row = await messages.accept(draft, to=to, variables=values, when_limited="wait")
    _say(as_json, row, f"{row['status']}: {row['id']} to {', '.join(row['to'])}")


@click.command()
@click.argument("name", default="")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@_json
async def outbox(name: str, limit: int, as_json: bool) -> None:
    """List the messages that the provider `file` wrote, newest first; with NAME (or a part of it), show one."""
    if name:
        message = await written.content(name)
        if message is None:
            raise click.ClickException(f"there is no file {name!r} in the outbox: `tenantry mail outbox` lists them")
        _say(as_json, {"name": message[0], "content": message[1]}, message[1])
        return
    listed = await written.newest(limit)
    rows = [{"name": each.name, "at": each.at, "to": each.to, "subject": each.subject} for each in listed]
    lines = [f"{each.at:%Y-%m-%d %H:%M:%SZ}  {each.to}  {each.subject}\n    {each.name}" for each in listed]
    _say(as_json, rows, *(lines or ["No message was written yet."]))


@click.command()
@_json
async def queue(as_json: bool) -> None:
    """Show the queue: how many messages wait in each status, how many are due, and for how long."""
    facts = {"waiting": await stats.waiting(), **await stats.queue()}
    _say(
        as_json,
        facts,
        ", ".join(f"{count} {status}" for status, count in facts["waiting"].items()) or "No message waits.",
        f"{facts['length']} due, the oldest for {facts['oldest_seconds']:.0f} seconds",
    )


def _variable(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise click.BadParameter(f"{text!r}: write NAME=VALUE")
    return name, value


def _say(as_json: bool, data: Any, *sentences: str) -> None:
    if as_json:
        options = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS
        click.echo(orjson.dumps({"success": True, "data": data}, default=str, option=options).decode())
    for sentence in () if as_json else sentences:
        click.echo(sentence)


COMMANDS: tuple[Command, ...] = (send, outbox, queue)
