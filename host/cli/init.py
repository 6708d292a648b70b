"""`tenantry init`: write the configuration files of a new deployment into a folder."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import click

import host
from host.cli.command import command, dry_run_option
from host.cli.terminal import Complaint, Terminal

FILES = ("plugins.toml", "config/settings.toml", "config/plans.toml", "config/roles.toml")
IGNORED = "# Data, generated secrets and stored files of a laptop's deployment.\n.tenantry/\n"


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=".")
@dry_run_option
@command
def init(terminal: Terminal, folder: Path, dry_run: bool) -> None:
    """Write what a deployment is made of into FOLDER, this one by default; files that are there stay as they are."""
    contents = {**starter_files(), ".gitignore": IGNORED}
    present = [name for name in contents if (folder / name).exists()]
    written = [name for name in contents if name not in present]
    for name in () if dry_run else written:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(contents[name], "utf-8")
    place = "" if folder == Path() else f"cd {folder}, then "
    terminal.done(
        {"folder": str(folder), "written": [] if dry_run else written, "kept": present},
        *(f"{'Would write' if dry_run else 'Wrote'} {folder / name}" for name in written),
        *(f"Left {folder / name} as it is" for name in present),
        f"Next: {place}`tenantry serve`. plugins.toml says which plugins it loads, config/plans.toml what plans allow.",
    )


def starter_files() -> Mapping[str, str]:
    """The shipped configuration, by its path in a deployment: from the source tree, or as it was installed.

    Raises:
        Complaint: this installation lacks them.
    """
    source = Path(host.__file__).parents[1]
    if all((source / name).is_file() for name in FILES):
        return {name: (source / name).read_text("utf-8") for name in FILES}
    try:
        installed = {str(file): Path(str(file.locate())) for file in files("tenantry") or ()}
    except PackageNotFoundError:
        installed = {}
    paths = {
        name: path for name in FILES for entry, path in installed.items() if entry.endswith(f"share/tenantry/{name}")
    }
    if missing := [name for name in FILES if name not in paths]:
        raise Complaint(f"this installation of tenantry lacks {', '.join(missing)}", "install it again from its wheel")
    return {name: path.read_text("utf-8") for name, path in paths.items()}
