"""`tenantry migrate`: migrate the database, print the SQL, write a migration, or take one app back."""

from __future__ import annotations

import click

from host.cli.command import asynchronous, dry_run_option, yes_option
from host.cli.open_application import with_database
from host.cli.terminal import Terminal


@click.command()
@click.option("--to", nargs=2, metavar="APP NAME", help='Take one app back to a migration ("zero": before its first).')
@click.option("--make", metavar="APP", help="Write the next migration of one app from its models.")
@click.option("--name", default="", help="With --make: what the migration is called.")
@yes_option
@dry_run_option
@asynchronous
async def migrate(
    terminal: Terminal, to: tuple[str, str] | None, make: str | None, name: str, yes: bool, dry_run: bool
) -> None:
    """Bring the database up to date; --dry-run prints the SQL instead."""
    async with with_database() as application:
        if make:
            file = await application.migrations.make(make, name)
            sentence = (
                f"Wrote {file}: read it, then `tenantry migrate`."
                if file
                else f"The models of {make} are as they were."
            )
            return terminal.done({"file": str(file) if file else None}, sentence)
        if dry_run and not to:
            sql = await application.migrations.dry_run()
            return terminal.done({"sql": sql}, sql or "-- nothing to do: the database is up to date")
        if to and dry_run:
            return terminal.done({"app": to[0], "to": to[1]}, f"Would take {to[0]} back to {to[1]}.")
        if to:
            terminal.confirm(
                f"Take {to[0]} back to {to[1]}? Its newer tables and columns go, with what is in them.", yes
            )
        with terminal.progress("migrating") as advance:

            def progress(step: str, number: int, total: int) -> None:
                advance(number - 1)
                terminal.say(f"{number}/{total} {step}", "dim")

            steps = await (
                application.migrations.downgrade(*to, progress) if to else application.migrations.migrate(progress)
            )
        for sentence in await application.migrations.unmade():
            terminal.say(sentence, "yellow")
    done = [str(step) for step in steps]
    terminal.done({"steps": done}, f"{len(done)} migrations were run." if done else "The database was up to date.")
